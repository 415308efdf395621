-- The system of record. One transaction per arriving event writes the rows of one entity, so all of them
-- lie under that entity. Keys begin with tenant and entity: no key grows with time, no split runs hot.

CREATE TABLE Entities (
  Tenant STRING(63) NOT NULL,
  Entity STRING(256) NOT NULL,
  Last INT64 NOT NULL,        -- the number applied last
  Chain STRING(64) NOT NULL,  -- the hash of its audit row
  UpdatedAt TIMESTAMP NOT NULL OPTIONS (allow_commit_timestamp = true),
) PRIMARY KEY (Tenant, Entity);

-- What was applied and when. Entities.Last already tells a duplicate; this row makes a second commit of one
-- number impossible, even unread, and says how long recording took. A row without event id is the number that
-- something parked waits for: it is to be looked at before it is applied. Rows need not be kept for as long as
-- the audit trail.
CREATE TABLE Inbox (
  Tenant STRING(63) NOT NULL,
  Entity STRING(256) NOT NULL,
  Sequence INT64 NOT NULL,
  EventId STRING(128) NOT NULL,
  AppliedAt TIMESTAMP NOT NULL OPTIONS (allow_commit_timestamp = true),
) PRIMARY KEY (Tenant, Entity, Sequence),
  INTERLEAVE IN PARENT Entities ON DELETE NO ACTION,
  ROW DELETION POLICY (OLDER_THAN(AppliedAt, INTERVAL 30 DAY));

CREATE TABLE Audit (
  Tenant STRING(63) NOT NULL,
  Entity STRING(256) NOT NULL,
  Sequence INT64 NOT NULL,
  EventId STRING(128) NOT NULL,
  Type STRING(MAX) NOT NULL,
  Task STRING(80) NOT NULL,
  Time TIMESTAMP NOT NULL,
  Body STRING(MAX) NOT NULL,
  Chained STRING(64) NOT NULL,
  RecordedAt TIMESTAMP NOT NULL OPTIONS (allow_commit_timestamp = true),
) PRIMARY KEY (Tenant, Entity, Sequence),
  INTERLEAVE IN PARENT Entities ON DELETE NO ACTION;

CREATE INDEX AuditByTask ON Audit (Tenant, Task, Entity, Sequence);

CREATE TABLE Billing (
  Tenant STRING(63) NOT NULL,
  Entity STRING(256) NOT NULL,
  Sequence INT64 NOT NULL,
  EventId STRING(128) NOT NULL,
  Task STRING(80) NOT NULL,
  Step STRING(MAX) NOT NULL,
  Model STRING(MAX) NOT NULL,
  TokensIn INT64 NOT NULL,
  TokensOut INT64 NOT NULL,
  CostMicroUsd INT64 NOT NULL,
  PriceVersion STRING(MAX) NOT NULL,
  Document INT64 NOT NULL,
  Line INT64 NOT NULL,
  Deployment STRING(MAX) NOT NULL,
  Outcome STRING(MAX) NOT NULL,
  Workflow STRING(MAX) NOT NULL,
  Cloud STRING(MAX) NOT NULL,
  SavedMicroUsd INT64 NOT NULL,
  Day STRING(16) NOT NULL,
  RecordedAt TIMESTAMP NOT NULL OPTIONS (allow_commit_timestamp = true),
) PRIMARY KEY (Tenant, Entity, Sequence),
  INTERLEAVE IN PARENT Entities ON DELETE NO ACTION;

CREATE INDEX BillingByTask ON Billing (Tenant, Task, Entity, Sequence);

CREATE TABLE Parked (
  Tenant STRING(63) NOT NULL,
  Entity STRING(256) NOT NULL,
  Sequence INT64 NOT NULL,
  Cause STRING(16) NOT NULL,
  Reason STRING(MAX) NOT NULL,
  Body STRING(MAX) NOT NULL,
  ParkedAt TIMESTAMP NOT NULL,
) PRIMARY KEY (Tenant, Entity, Sequence),
  INTERLEAVE IN PARENT Entities ON DELETE NO ACTION;

-- The ledger: what tenants may spend, what their runs hold of it, what their calls have cost. Money is INT64 micro-USD.
-- A row's Version counts its changes: whoever read an older one changes nothing.

CREATE TABLE Accounts (
  Tenant STRING(63) NOT NULL,
  Version INT64 NOT NULL,
  Runs INT64 NOT NULL,            -- open leases
  RequestsLevel FLOAT64 NOT NULL, -- the buckets of its rates: what was left, and when
  RequestsAt FLOAT64 NOT NULL,
  TokensLevel FLOAT64 NOT NULL,
  TokensAt FLOAT64 NOT NULL,
  TurnedAway INT64 NOT NULL,
  Waits STRING(MAX) NOT NULL,     -- JSON: who waits for money, by lease
  Yielding INT64 NOT NULL,        -- money that open background leases hold
) PRIMARY KEY (Tenant);

CREATE TABLE Books (
  Tenant STRING(63) NOT NULL,
  Period STRING(32) NOT NULL,     -- day:2026-11-21, month:2026-11
  Settled INT64 NOT NULL,
  Open INT64 NOT NULL,
) PRIMARY KEY (Tenant, Period),
  INTERLEAVE IN PARENT Accounts ON DELETE CASCADE;

CREATE TABLE Leases (
  Tenant STRING(63) NOT NULL,
  Lease STRING(128) NOT NULL,
  Version INT64 NOT NULL,
  Task STRING(80) NOT NULL,
  Workflow STRING(64) NOT NULL,
  Priority STRING(16) NOT NULL,
  Amount INT64 NOT NULL,
  Periods ARRAY<STRING(32)> NOT NULL,
  ExpiresAt FLOAT64 NOT NULL,     -- seconds since the epoch, as all times of the ledger
  Settled INT64 NOT NULL,
  Held INT64 NOT NULL,
  Booked INT64 NOT NULL,
  Overrun INT64 NOT NULL,
  State STRING(8) NOT NULL,
  Calls INT64 NOT NULL,           -- open draws
  BusyUntil FLOAT64 NOT NULL,     -- no call is out after it
  DueAt FLOAT64,                  -- ExpiresAt while it is open or closing
) PRIMARY KEY (Tenant, Lease);

-- Only open and closing leases are in it, so it stays small: its keys grow with time, its load is one lease's two changes a run.
CREATE NULL_FILTERED INDEX LeasesDue ON Leases (DueAt);

CREATE TABLE Draws (
  Tenant STRING(63) NOT NULL,
  Lease STRING(128) NOT NULL,
  Draw STRING(128) NOT NULL,
  Version INT64 NOT NULL,
  Document INT64 NOT NULL,
  Step STRING(MAX) NOT NULL,
  Deployment STRING(MAX) NOT NULL,
  Worst INT64 NOT NULL,
  InputSha256 STRING(64) NOT NULL,
  Periods ARRAY<STRING(32)> NOT NULL,
  Actual INT64 NOT NULL,
  State STRING(8) NOT NULL,
  TokensIn INT64 NOT NULL,
  TokensOut INT64 NOT NULL,
  Answer STRING(MAX) NOT NULL,
  PriceVersion STRING(MAX) NOT NULL,
  Paid STRING(16) NOT NULL,
  Remaining INT64 NOT NULL,       -- of its lease
  Note STRING(MAX) NOT NULL,
) PRIMARY KEY (Tenant, Lease, Draw),
  INTERLEAVE IN PARENT Leases ON DELETE CASCADE;
