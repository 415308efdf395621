"""Entry points, one file per Lambda function: unwrap, use case, verdict."""
