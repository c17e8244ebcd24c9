CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE api_key (
	id VARCHAR NOT NULL,
	name VARCHAR NOT NULL,
	secret_sha256 VARCHAR NOT NULL,
	roles TEXT NOT NULL,
	actions TEXT,
	customers TEXT,
	created_at BIGINT NOT NULL,
	created_by VARCHAR NOT NULL,
	expires_at BIGINT,
	revoked_at BIGINT,
	last_used_at BIGINT,
	PRIMARY KEY (id)
);

CREATE TABLE as_of (
	kind VARCHAR NOT NULL,
	id VARCHAR NOT NULL,
	side VARCHAR NOT NULL,
	as_of BIGINT NOT NULL,
	written_at BIGINT NOT NULL,
	PRIMARY KEY (kind, id, side)
);

CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
        BEGIN
            SELECT RAISE(ABORT, 'the audit log is only ever added to');
        END;

CREATE TRIGGER audit_is_unchanged BEFORE UPDATE ON audit
        WHEN NOT NEW.redacted OR NEW.id <> OLD.id OR NEW.at <> OLD.at OR NEW.actor_kind <> OLD.actor_kind
            OR NEW.action <> OLD.action OR NEW.kind <> OLD.kind
        BEGIN
            SELECT RAISE(ABORT, 'the audit log is only ever added to');
        END;

CREATE TABLE audit (
	id INTEGER NOT NULL,
	at BIGINT NOT NULL,
	actor VARCHAR NOT NULL,
	actor_kind VARCHAR NOT NULL,
	action VARCHAR NOT NULL,
	kind VARCHAR NOT NULL,
	resource VARCHAR NOT NULL,
	customer VARCHAR,
	"before" TEXT,
	"after" TEXT,
	reason TEXT NOT NULL,
	request_id VARCHAR NOT NULL,
	redacted BOOLEAN NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX audit_resource ON audit (kind, resource, id);

CREATE INDEX ix_audit_action ON audit (action);

CREATE INDEX ix_audit_actor ON audit (actor);

CREATE INDEX ix_audit_at ON audit (at);

CREATE INDEX ix_audit_customer ON audit (customer);

CREATE TABLE blob (
	sha256 VARCHAR NOT NULL,
	content BLOB NOT NULL,
	created_at BIGINT NOT NULL,
	PRIMARY KEY (sha256)
);

CREATE TABLE budget_spent (
	feature VARCHAR NOT NULL,
	item VARCHAR NOT NULL,
	start BIGINT NOT NULL,
	percent BIGINT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (feature, item)
)
 WITHOUT ROWID

;

CREATE TABLE bundle (
	revision VARCHAR NOT NULL,
	manifest BLOB NOT NULL,
	created_at BIGINT NOT NULL,
	PRIMARY KEY (revision)
);

CREATE TABLE customer (
	id VARCHAR NOT NULL,
	etag BIGINT NOT NULL,
	tags TEXT NOT NULL,
	attributes TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	erased_at BIGINT, metadata TEXT DEFAULT '{}' NOT NULL, external_ids TEXT DEFAULT '{}' NOT NULL, search TEXT DEFAULT '' NOT NULL, name VARCHAR DEFAULT '' NOT NULL,
	PRIMARY KEY (id)
);

CREATE TABLE customer_tag (
	tag VARCHAR NOT NULL,
	customer VARCHAR NOT NULL,
	PRIMARY KEY (tag, customer)
);

CREATE INDEX ix_customer_tag_customer ON customer_tag (customer);

CREATE TABLE delivery (
	id VARCHAR NOT NULL,
	webhook VARCHAR NOT NULL,
	type VARCHAR NOT NULL,
	payload BLOB NOT NULL,
	status VARCHAR NOT NULL,
	attempts INTEGER NOT NULL,
	due_at BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	finished_at BIGINT,
	answer TEXT NOT NULL, event VARCHAR DEFAULT '' NOT NULL, line VARCHAR DEFAULT '' NOT NULL, position BIGINT DEFAULT '0' NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX delivery_due ON delivery (status, due_at);

CREATE INDEX delivery_line ON delivery (webhook, line, position) WHERE status = 'waiting';

CREATE INDEX delivery_webhook_created ON delivery (webhook, created_at, id);

CREATE INDEX delivery_webhook_due ON delivery (webhook, status, due_at);

CREATE INDEX delivery_webhook_position ON delivery (webhook, position);

CREATE TABLE event (
	position BIGINT NOT NULL,
	id VARCHAR NOT NULL,
	type VARCHAR NOT NULL,
	customer VARCHAR,
	features TEXT NOT NULL,
	at BIGINT NOT NULL,
	recorded_at BIGINT NOT NULL,
	payload BLOB NOT NULL,
	PRIMARY KEY (position)
);

CREATE INDEX event_customer_position ON event (customer, position);

CREATE INDEX event_recorded_at ON event (recorded_at);

CREATE INDEX event_type_position ON event (type, position);

CREATE TABLE event_head (
	"key" BIGINT NOT NULL,
	position BIGINT NOT NULL,
	checked_publication BIGINT NOT NULL,
	catalog_told BIGINT NOT NULL,
	PRIMARY KEY ("key")
);

CREATE TABLE external_id (
	kind VARCHAR NOT NULL,
	system VARCHAR NOT NULL,
	value VARCHAR NOT NULL,
	holder VARCHAR NOT NULL,
	PRIMARY KEY (kind, system, value)
);

CREATE INDEX external_id_kind_holder ON external_id (kind, holder);

CREATE TABLE feature (
	id VARCHAR NOT NULL,
	etag BIGINT NOT NULL,
	type VARCHAR NOT NULL,
	status VARCHAR NOT NULL,
	name VARCHAR NOT NULL,
	document TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX ix_feature_status ON feature (status);

CREATE INDEX ix_feature_type ON feature (type);

CREATE TABLE feature_status (
	feature VARCHAR NOT NULL,
	record BLOB NOT NULL,
	shown VARCHAR NOT NULL,
	since BIGINT NOT NULL,
	told BIGINT NOT NULL,
	next_at BIGINT,
	PRIMARY KEY (feature)
);

CREATE INDEX feature_status_next_at ON feature_status (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE feature_tag (
	tag VARCHAR NOT NULL,
	feature VARCHAR NOT NULL,
	PRIMARY KEY (tag, feature)
);

CREATE INDEX ix_feature_tag_feature ON feature_tag (feature);

CREATE TABLE feed (
	position BIGINT NOT NULL,
	at BIGINT NOT NULL,
	customer VARCHAR,
	publication BIGINT,
	line BLOB NOT NULL,
	digest VARCHAR NOT NULL,
	chain VARCHAR NOT NULL,
	redacted BOOLEAN NOT NULL,
	PRIMARY KEY (position)
);

CREATE INDEX feed_customer_position ON feed (customer, position);

CREATE INDEX ix_feed_at ON feed (at);

CREATE TABLE feed_head (
	"key" INTEGER NOT NULL,
	position BIGINT NOT NULL,
	chain VARCHAR NOT NULL,
	floor BIGINT NOT NULL,
	publication BIGINT NOT NULL,
	PRIMARY KEY ("key")
);

CREATE TABLE held_item (
	subscription VARCHAR NOT NULL,
	place INTEGER NOT NULL,
	item VARCHAR NOT NULL,
	quantity BIGINT NOT NULL,
	version BIGINT,
	added_at BIGINT,
	start BIGINT NOT NULL,
	until BIGINT NOT NULL,
	PRIMARY KEY (subscription, place)
);

CREATE INDEX held_item_item_version ON held_item (item, version);

CREATE TABLE idempotency (
	caller VARCHAR NOT NULL,
	"key" VARCHAR NOT NULL,
	request_sha256 VARCHAR NOT NULL,
	status INTEGER NOT NULL,
	headers TEXT NOT NULL,
	body BLOB NOT NULL,
	created_at BIGINT NOT NULL,
	PRIMARY KEY (caller, "key")
);

CREATE INDEX ix_idempotency_created_at ON idempotency (created_at);

CREATE TABLE item (
	id VARCHAR NOT NULL,
	etag BIGINT NOT NULL,
	kind VARCHAR NOT NULL,
	name VARCHAR NOT NULL,
	document TEXT NOT NULL,
	rollouts TEXT NOT NULL,
	draft TEXT,
	newest BIGINT NOT NULL,
	private_to VARCHAR,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL, status VARCHAR DEFAULT 'active' NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX ix_item_kind ON item (kind);

CREATE INDEX ix_item_private_to ON item (private_to);

CREATE TABLE item_tag (
	tag VARCHAR NOT NULL,
	item VARCHAR NOT NULL,
	PRIMARY KEY (tag, item)
);

CREATE INDEX ix_item_tag_item ON item_tag (item);

CREATE TABLE item_version (
	item VARCHAR NOT NULL,
	version BIGINT NOT NULL,
	entitlements TEXT NOT NULL,
	publication BIGINT NOT NULL,
	published_at BIGINT NOT NULL,
	PRIMARY KEY (item, version)
);

CREATE TABLE outcome_hour (
	feature VARCHAR NOT NULL,
	hour BIGINT NOT NULL,
	bad BIGINT NOT NULL,
	minutes BLOB NOT NULL,
	PRIMARY KEY (feature, hour)
)
 WITHOUT ROWID

;

CREATE INDEX outcome_hour_bad ON outcome_hour (hour) WHERE bad > 0;

CREATE INDEX outcome_hour_hour ON outcome_hour (hour);

CREATE TABLE outcome_judgement (
	feature VARCHAR NOT NULL,
	item VARCHAR NOT NULL,
	hour BIGINT NOT NULL,
	bad TEXT NOT NULL,
	PRIMARY KEY (feature, item, hour)
)
 WITHOUT ROWID

;

CREATE INDEX outcome_judgement_hour ON outcome_judgement (hour);

CREATE TABLE outcome_source (
	source VARCHAR NOT NULL,
	number BIGINT NOT NULL,
	seen_at BIGINT NOT NULL,
	PRIMARY KEY (source)
)
 WITHOUT ROWID

;

CREATE INDEX outcome_source_seen_at ON outcome_source (seen_at);

CREATE TABLE override (
	holder_type VARCHAR NOT NULL,
	holder VARCHAR NOT NULL,
	id VARCHAR NOT NULL,
	place INTEGER NOT NULL,
	feature VARCHAR NOT NULL,
	mode VARCHAR NOT NULL,
	value TEXT,
	start BIGINT NOT NULL,
	until BIGINT NOT NULL,
	author VARCHAR NOT NULL,
	reason TEXT NOT NULL,
	PRIMARY KEY (holder_type, holder, id)
);

CREATE INDEX ix_override_feature ON override (feature);

CREATE TABLE plan_ending (
	subscription VARCHAR NOT NULL,
	at BIGINT NOT NULL,
	items TEXT NOT NULL,
	PRIMARY KEY (subscription)
);

CREATE TABLE policy_file (
	kind VARCHAR NOT NULL,
	name VARCHAR NOT NULL,
	etag BIGINT NOT NULL,
	text TEXT NOT NULL,
	updated_at BIGINT NOT NULL,
	PRIMARY KEY (kind, name)
);

CREATE TABLE publication (
	sequence BIGINT NOT NULL,
	revision VARCHAR NOT NULL,
	position BIGINT NOT NULL,
	issued_at BIGINT NOT NULL,
	envelope BLOB NOT NULL,
	catalog VARCHAR NOT NULL,
	rules VARCHAR NOT NULL,
	roles VARCHAR NOT NULL,
	rolled_back_to BIGINT,
	author VARCHAR NOT NULL,
	note TEXT NOT NULL,
	PRIMARY KEY (sequence)
);

CREATE INDEX ix_publication_issued_at ON publication (issued_at);

CREATE INDEX ix_publication_revision ON publication (revision);

CREATE TABLE published_feature (
	id VARCHAR NOT NULL,
	type VARCHAR NOT NULL,
	PRIMARY KEY (id)
);

CREATE TABLE service_level_history (
	feature VARCHAR NOT NULL,
	item VARCHAR NOT NULL,
	start BIGINT NOT NULL,
	level TEXT,
	publication BIGINT NOT NULL,
	PRIMARY KEY (feature, item, start)
)
 WITHOUT ROWID

;

CREATE TABLE snapshot (
	position BIGINT NOT NULL,
	manifest VARCHAR NOT NULL,
	created_at BIGINT NOT NULL,
	PRIMARY KEY (position)
);

CREATE TABLE status_monitor (
	name VARCHAR NOT NULL,
	etag BIGINT NOT NULL,
	"key" VARCHAR,
	features TEXT NOT NULL,
	every BIGINT,
	description TEXT NOT NULL,
	heard_at BIGINT,
	silent_since BIGINT,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	PRIMARY KEY (name)
)
 WITHOUT ROWID

;

CREATE TABLE status_report (
	id VARCHAR NOT NULL,
	etag BIGINT NOT NULL,
	feature VARCHAR NOT NULL,
	status VARCHAR NOT NULL,
	start BIGINT NOT NULL,
	until BIGINT NOT NULL,
	reporter_kind VARCHAR NOT NULL,
	reporter VARCHAR NOT NULL,
	source_key VARCHAR NOT NULL,
	note TEXT NOT NULL,
	public_note TEXT NOT NULL,
	audience TEXT,
	created_at BIGINT NOT NULL,
	created_by VARCHAR NOT NULL,
	updated_at BIGINT NOT NULL,
	updated_by VARCHAR NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX status_report_feature_until ON status_report (feature, until);

CREATE INDEX status_report_source ON status_report (reporter, source_key);

CREATE INDEX status_report_start ON status_report (start, id);

CREATE INDEX status_report_until ON status_report (until, start, feature, status, reporter_kind);

CREATE TABLE status_silence (
	monitor VARCHAR NOT NULL,
	feature VARCHAR NOT NULL,
	start BIGINT NOT NULL,
	until BIGINT NOT NULL,
	PRIMARY KEY (monitor, feature, start)
)
 WITHOUT ROWID

;

CREATE INDEX status_silence_feature_until ON status_silence (feature, until);

CREATE INDEX status_silence_until ON status_silence (until);

CREATE TABLE store (
	"key" INTEGER NOT NULL,
	id VARCHAR NOT NULL,
	created_at BIGINT NOT NULL,
	bootstrapped_at BIGINT,
	PRIMARY KEY ("key")
);

CREATE TABLE subject_record (
	customer VARCHAR NOT NULL,
	position BIGINT NOT NULL,
	record BLOB NOT NULL, next_at BIGINT,
	PRIMARY KEY (customer)
);

CREATE INDEX subject_record_next_at ON subject_record (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE subscription (
	id VARCHAR NOT NULL,
	customer VARCHAR NOT NULL,
	etag BIGINT NOT NULL,
	status VARCHAR NOT NULL,
	start BIGINT,
	"end" BIGINT,
	trial_end BIGINT,
	grace_until BIGINT,
	resume_at BIGINT,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL, metadata TEXT DEFAULT '{}' NOT NULL, external_ids TEXT DEFAULT '{}' NOT NULL, search TEXT DEFAULT '' NOT NULL, resumes_as VARCHAR, term TEXT,
	PRIMARY KEY (id)
);

CREATE INDEX ix_subscription_customer ON subscription (customer);

CREATE INDEX ix_subscription_status ON subscription (status);

CREATE TABLE suspension (
	holder_type VARCHAR NOT NULL,
	holder VARCHAR NOT NULL,
	place INTEGER NOT NULL,
	feature VARCHAR NOT NULL,
	start BIGINT NOT NULL,
	until BIGINT NOT NULL,
	reason TEXT NOT NULL,
	PRIMARY KEY (holder_type, holder, place)
);

CREATE INDEX ix_suspension_feature ON suspension (feature);

CREATE TABLE tombstone (
	kind VARCHAR NOT NULL,
	id VARCHAR NOT NULL,
	etag BIGINT NOT NULL,
	PRIMARY KEY (kind, id)
);

CREATE TABLE usage_account (
	customer VARCHAR NOT NULL,
	feature VARCHAR NOT NULL,
	scope VARCHAR NOT NULL,
	member VARCHAR NOT NULL,
	start BIGINT NOT NULL,
	until BIGINT NOT NULL,
	booked BIGINT NOT NULL,
	leased BIGINT NOT NULL,
	leases BIGINT NOT NULL,
	version BIGINT NOT NULL,
	allowance BIGINT,
	limit_units BIGINT,
	drawn TEXT, fired TEXT, next_at BIGINT,
	PRIMARY KEY (customer, feature, scope, member)
)
 WITHOUT ROWID

;

CREATE INDEX usage_account_feature ON usage_account (feature, scope);

CREATE INDEX usage_account_next_at ON usage_account (next_at) WHERE next_at IS NOT NULL;

CREATE INDEX usage_account_until ON usage_account (until);

CREATE TABLE usage_days (
	feature VARCHAR NOT NULL,
	month INTEGER NOT NULL,
	customer VARCHAR NOT NULL,
	units BLOB NOT NULL,
	PRIMARY KEY (feature, month, customer)
)
 WITHOUT ROWID

;

CREATE TABLE usage_grant (
	customer VARCHAR NOT NULL,
	feature VARCHAR NOT NULL,
	id VARCHAR NOT NULL,
	amount BIGINT NOT NULL,
	spent BIGINT NOT NULL,
	start BIGINT NOT NULL,
	until BIGINT NOT NULL,
	priority INTEGER NOT NULL,
	reason TEXT NOT NULL,
	author VARCHAR NOT NULL,
	created_at BIGINT NOT NULL, next_at BIGINT,
	PRIMARY KEY (customer, feature, id)
)
 WITHOUT ROWID

;

CREATE INDEX usage_grant_next_at ON usage_grant (next_at) WHERE next_at IS NOT NULL;

CREATE INDEX usage_grant_until ON usage_grant (until);

CREATE TABLE usage_holder (
	holder VARCHAR NOT NULL,
	epoch BIGINT NOT NULL,
	instance BLOB NOT NULL,
	sequence BIGINT NOT NULL,
	booked_through BIGINT NOT NULL,
	last_lease BIGINT NOT NULL,
	leases BIGINT NOT NULL,
	reply BLOB,
	seen BIGINT NOT NULL,
	PRIMARY KEY (holder)
);

CREATE TABLE usage_hours (
	feature VARCHAR NOT NULL,
	day INTEGER NOT NULL,
	customer VARCHAR NOT NULL,
	units BLOB NOT NULL,
	PRIMARY KEY (feature, day, customer)
)
 WITHOUT ROWID

;

CREATE TABLE usage_key (
	"key" BLOB NOT NULL,
	digests BLOB NOT NULL,
	at BIGINT NOT NULL,
	answer BLOB,
	PRIMARY KEY ("key")
)
 WITHOUT ROWID

;

CREATE INDEX usage_key_at ON usage_key (at);

CREATE TABLE usage_lease (
	holder VARCHAR NOT NULL,
	number BIGINT NOT NULL,
	customer VARCHAR NOT NULL,
	feature VARCHAR NOT NULL,
	scope VARCHAR NOT NULL,
	member VARCHAR NOT NULL,
	start BIGINT NOT NULL,
	units BIGINT NOT NULL,
	spent BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	written_off BOOLEAN NOT NULL,
	PRIMARY KEY (holder, number)
)
 WITHOUT ROWID

;

CREATE TABLE usage_threshold (
	customer VARCHAR NOT NULL,
	feature VARCHAR NOT NULL,
	levels TEXT NOT NULL,
	etag BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	PRIMARY KEY (customer, feature)
);

CREATE TABLE usage_window (
	customer VARCHAR NOT NULL,
	feature VARCHAR NOT NULL,
	scope VARCHAR NOT NULL,
	member VARCHAR NOT NULL,
	start BIGINT NOT NULL,
	until BIGINT NOT NULL,
	booked BIGINT NOT NULL,
	leased BIGINT NOT NULL,
	leases BIGINT NOT NULL,
	version BIGINT NOT NULL,
	allowance BIGINT,
	limit_units BIGINT,
	drawn TEXT, fired TEXT,
	PRIMARY KEY (customer, feature, scope, member, start)
)
 WITHOUT ROWID

;

CREATE INDEX usage_window_until ON usage_window (until);

CREATE TABLE webhook (
	id VARCHAR NOT NULL,
	etag BIGINT NOT NULL,
	url TEXT NOT NULL,
	events TEXT NOT NULL,
	secrets TEXT NOT NULL,
	description TEXT NOT NULL,
	enabled BOOLEAN NOT NULL,
	failing_since BIGINT,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	PRIMARY KEY (id)
);

