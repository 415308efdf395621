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
-- number impossible, and says how long recording took. It need not be kept for as long as the audit trail.
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
