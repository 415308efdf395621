"""Model providers behind the port `Models`: thin HTTP, no SDK. Imports shared/ only."""
