CREATE TABLE IF NOT EXISTS tasks (
  tenant TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parked (
  tenant TEXT NOT NULL, id TEXT NOT NULL, in_line TEXT NOT NULL,
  PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS parked_longest ON parked (in_line);
CREATE TABLE IF NOT EXISTS sequences (
  tenant TEXT NOT NULL, entity TEXT NOT NULL, last INTEGER NOT NULL,
  PRIMARY KEY (tenant, entity)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inbox (claim TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
  position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, entity TEXT NOT NULL, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS journal (
  tenant TEXT NOT NULL, task TEXT NOT NULL, document INTEGER NOT NULL, step TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (tenant, task, document, step)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS approvals (
  tenant TEXT NOT NULL, id TEXT NOT NULL, status TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS approvals_pending ON approvals (tenant, id) WHERE status = 'pending';

CREATE TABLE IF NOT EXISTS messages (
  id INTEGER PRIMARY KEY, route TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, attributes TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS messages_by_route ON messages (route, id);
CREATE INDEX IF NOT EXISTS messages_late ON messages (route, key, due) WHERE due > 0;
CREATE TABLE IF NOT EXISTS dead_letters (
  id INTEGER PRIMARY KEY, route TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, attributes TEXT NOT NULL,
  attempts INTEGER NOT NULL, reason TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS record_entities (
  tenant TEXT NOT NULL, entity TEXT NOT NULL, last INTEGER NOT NULL, chain TEXT NOT NULL,
  PRIMARY KEY (tenant, entity)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record_audit (
  tenant TEXT NOT NULL, entity TEXT NOT NULL, sequence INTEGER NOT NULL, event_id TEXT NOT NULL, type TEXT NOT NULL,
  task TEXT NOT NULL, time TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL,
  PRIMARY KEY (tenant, entity, sequence)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS record_audit_by_task ON record_audit (tenant, task, entity, sequence);
CREATE TABLE IF NOT EXISTS record_billing (
  event_id TEXT NOT NULL, tenant TEXT NOT NULL, task TEXT NOT NULL, entity TEXT NOT NULL, sequence INTEGER NOT NULL,
  step TEXT NOT NULL, model TEXT NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
  cost_micro_usd INTEGER NOT NULL, price_version TEXT NOT NULL, document INTEGER NOT NULL, line INTEGER NOT NULL,
  deployment TEXT NOT NULL, outcome TEXT NOT NULL, workflow TEXT NOT NULL, cloud TEXT NOT NULL,
  saved_micro_usd INTEGER NOT NULL, day TEXT NOT NULL,
  PRIMARY KEY (tenant, entity, sequence)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS record_billing_by_task ON record_billing (tenant, task, entity, sequence);
CREATE TABLE IF NOT EXISTS record_parked (
  tenant TEXT NOT NULL, entity TEXT NOT NULL, sequence INTEGER NOT NULL, cause TEXT NOT NULL, reason TEXT NOT NULL,
  body TEXT NOT NULL, at TEXT NOT NULL,
  PRIMARY KEY (tenant, entity, sequence)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS roots (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blobs (sha256 TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS operator_settings (
  name TEXT PRIMARY KEY, version INTEGER NOT NULL, text TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS ledger_accounts (
  tenant TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger_leases (
  id TEXT NOT NULL, tenant TEXT NOT NULL, task TEXT NOT NULL, workflow TEXT NOT NULL, priority TEXT NOT NULL,
  amount INTEGER NOT NULL, windows TEXT NOT NULL, expires_at REAL NOT NULL, settled INTEGER NOT NULL,
  held INTEGER NOT NULL, booked INTEGER NOT NULL, overrun INTEGER NOT NULL, state TEXT NOT NULL, version INTEGER NOT NULL,
  calls INTEGER NOT NULL, busy_until REAL NOT NULL,
  PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ledger_leases_due ON ledger_leases (expires_at, tenant, id)
  WHERE state IN ('open', 'closing');
CREATE TABLE IF NOT EXISTS ledger_draws (
  id TEXT NOT NULL, tenant TEXT NOT NULL, lease TEXT NOT NULL, document INTEGER NOT NULL, step TEXT NOT NULL,
  deployment TEXT NOT NULL, worst INTEGER NOT NULL, input_sha256 TEXT NOT NULL, windows TEXT NOT NULL,
  actual INTEGER NOT NULL, state TEXT NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
  answer TEXT NOT NULL, version INTEGER NOT NULL, price_version TEXT NOT NULL, paid TEXT NOT NULL,
  remaining INTEGER NOT NULL, note TEXT NOT NULL,
  PRIMARY KEY (tenant, lease, id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS answers (
  tenant TEXT NOT NULL, key TEXT NOT NULL, expires REAL NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY (tenant, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_by_age ON answers (expires);

CREATE TABLE IF NOT EXISTS spans (
  task TEXT NOT NULL, about TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (task, about)
) WITHOUT ROWID;
