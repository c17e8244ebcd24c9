CREATE FUNCTION public.audit_is_kept() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            RAISE EXCEPTION 'the audit log is only ever added to';
        END
        $$;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.api_key (
    id character varying NOT NULL COLLATE pg_catalog."C",
    name character varying NOT NULL,
    secret_sha256 character varying NOT NULL COLLATE pg_catalog."C",
    roles text NOT NULL,
    actions text,
    customers text,
    created_at bigint NOT NULL,
    created_by character varying NOT NULL COLLATE pg_catalog."C",
    expires_at bigint,
    revoked_at bigint,
    last_used_at bigint
);
CREATE TABLE public.as_of (
    kind character varying NOT NULL COLLATE pg_catalog."C",
    id character varying NOT NULL COLLATE pg_catalog."C",
    side character varying NOT NULL COLLATE pg_catalog."C",
    as_of bigint NOT NULL,
    written_at bigint NOT NULL
);
CREATE TABLE public.audit (
    id bigint NOT NULL,
    at bigint NOT NULL,
    actor character varying NOT NULL COLLATE pg_catalog."C",
    actor_kind character varying NOT NULL COLLATE pg_catalog."C",
    action character varying NOT NULL COLLATE pg_catalog."C",
    kind character varying NOT NULL COLLATE pg_catalog."C",
    resource character varying NOT NULL COLLATE pg_catalog."C",
    customer character varying COLLATE pg_catalog."C",
    before text,
    after text,
    reason text NOT NULL,
    request_id character varying NOT NULL COLLATE pg_catalog."C",
    redacted boolean NOT NULL
);
CREATE SEQUENCE public.audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.audit_id_seq OWNED BY public.audit.id;
CREATE TABLE public.blob (
    sha256 character varying NOT NULL COLLATE pg_catalog."C",
    content bytea NOT NULL,
    created_at bigint NOT NULL
);
CREATE TABLE public.budget_spent (
    feature character varying NOT NULL COLLATE pg_catalog."C",
    item character varying NOT NULL COLLATE pg_catalog."C",
    start bigint NOT NULL,
    percent bigint NOT NULL,
    at bigint NOT NULL
);
CREATE TABLE public.bundle (
    revision character varying NOT NULL COLLATE pg_catalog."C",
    manifest bytea NOT NULL,
    created_at bigint NOT NULL
);
CREATE TABLE public.customer (
    id character varying NOT NULL COLLATE pg_catalog."C",
    etag bigint NOT NULL,
    tags text NOT NULL,
    attributes text NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    erased_at bigint,
    metadata text DEFAULT '{}'::text NOT NULL,
    external_ids text DEFAULT '{}'::text NOT NULL,
    search text DEFAULT ''::text NOT NULL,
    name character varying DEFAULT ''::character varying NOT NULL
);
CREATE TABLE public.customer_tag (
    tag character varying NOT NULL COLLATE pg_catalog."C",
    customer character varying NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.delivery (
    id character varying NOT NULL COLLATE pg_catalog."C",
    webhook character varying NOT NULL COLLATE pg_catalog."C",
    type character varying NOT NULL COLLATE pg_catalog."C",
    payload bytea NOT NULL,
    status character varying NOT NULL COLLATE pg_catalog."C",
    attempts integer NOT NULL,
    due_at bigint NOT NULL,
    created_at bigint NOT NULL,
    finished_at bigint,
    answer text NOT NULL,
    event character varying DEFAULT ''::character varying NOT NULL COLLATE pg_catalog."C",
    line character varying DEFAULT ''::character varying NOT NULL COLLATE pg_catalog."C",
    "position" bigint DEFAULT '0'::bigint NOT NULL
);
CREATE TABLE public.event (
    "position" bigint NOT NULL,
    id character varying NOT NULL COLLATE pg_catalog."C",
    type character varying NOT NULL COLLATE pg_catalog."C",
    customer character varying COLLATE pg_catalog."C",
    features text NOT NULL,
    at bigint NOT NULL,
    recorded_at bigint NOT NULL,
    payload bytea NOT NULL
);
CREATE TABLE public.event_head (
    key bigint NOT NULL,
    "position" bigint NOT NULL,
    checked_publication bigint NOT NULL,
    catalog_told bigint NOT NULL
);
CREATE TABLE public.external_id (
    kind character varying NOT NULL COLLATE pg_catalog."C",
    system character varying NOT NULL COLLATE pg_catalog."C",
    value character varying NOT NULL COLLATE pg_catalog."C",
    holder character varying NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.feature (
    id character varying NOT NULL COLLATE pg_catalog."C",
    etag bigint NOT NULL,
    type character varying NOT NULL COLLATE pg_catalog."C",
    status character varying NOT NULL COLLATE pg_catalog."C",
    name character varying NOT NULL,
    document text NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);
CREATE TABLE public.feature_status (
    feature character varying NOT NULL COLLATE pg_catalog."C",
    record bytea NOT NULL,
    shown character varying NOT NULL COLLATE pg_catalog."C",
    since bigint NOT NULL,
    told bigint NOT NULL,
    next_at bigint
);
CREATE TABLE public.feature_tag (
    tag character varying NOT NULL COLLATE pg_catalog."C",
    feature character varying NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.feed (
    "position" bigint NOT NULL,
    at bigint NOT NULL,
    customer character varying COLLATE pg_catalog."C",
    publication bigint,
    line bytea NOT NULL,
    digest character varying NOT NULL COLLATE pg_catalog."C",
    chain character varying NOT NULL COLLATE pg_catalog."C",
    redacted boolean NOT NULL
);
CREATE TABLE public.feed_head (
    key integer NOT NULL,
    "position" bigint NOT NULL,
    chain character varying NOT NULL COLLATE pg_catalog."C",
    floor bigint NOT NULL,
    publication bigint NOT NULL
);
CREATE TABLE public.held_item (
    subscription character varying NOT NULL COLLATE pg_catalog."C",
    place integer NOT NULL,
    item character varying NOT NULL COLLATE pg_catalog."C",
    quantity bigint NOT NULL,
    version bigint,
    added_at bigint,
    start bigint NOT NULL,
    until bigint NOT NULL
);
CREATE TABLE public.idempotency (
    caller character varying NOT NULL COLLATE pg_catalog."C",
    key character varying NOT NULL COLLATE pg_catalog."C",
    request_sha256 character varying NOT NULL COLLATE pg_catalog."C",
    status integer NOT NULL,
    headers text NOT NULL,
    body bytea NOT NULL,
    created_at bigint NOT NULL
);
CREATE TABLE public.item (
    id character varying NOT NULL COLLATE pg_catalog."C",
    etag bigint NOT NULL,
    kind character varying NOT NULL COLLATE pg_catalog."C",
    name character varying NOT NULL,
    document text NOT NULL,
    rollouts text NOT NULL,
    draft text,
    newest bigint NOT NULL,
    private_to character varying COLLATE pg_catalog."C",
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    status character varying DEFAULT 'active'::character varying NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.item_tag (
    tag character varying NOT NULL COLLATE pg_catalog."C",
    item character varying NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.item_version (
    item character varying NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    entitlements text NOT NULL,
    publication bigint NOT NULL,
    published_at bigint NOT NULL
);
CREATE TABLE public.outcome_hour (
    feature character varying NOT NULL COLLATE pg_catalog."C",
    hour bigint NOT NULL,
    bad bigint NOT NULL,
    minutes bytea NOT NULL
)
WITH (fillfactor='75');
CREATE TABLE public.outcome_judgement (
    feature character varying NOT NULL COLLATE pg_catalog."C",
    item character varying NOT NULL COLLATE pg_catalog."C",
    hour bigint NOT NULL,
    bad text NOT NULL
);
CREATE TABLE public.outcome_source (
    source character varying NOT NULL COLLATE pg_catalog."C",
    number bigint NOT NULL,
    seen_at bigint NOT NULL
);
CREATE TABLE public.override (
    holder_type character varying NOT NULL COLLATE pg_catalog."C",
    holder character varying NOT NULL COLLATE pg_catalog."C",
    id character varying NOT NULL COLLATE pg_catalog."C",
    place integer NOT NULL,
    feature character varying NOT NULL COLLATE pg_catalog."C",
    mode character varying NOT NULL COLLATE pg_catalog."C",
    value text,
    start bigint NOT NULL,
    until bigint NOT NULL,
    author character varying NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL
);
CREATE TABLE public.plan_ending (
    subscription character varying NOT NULL COLLATE pg_catalog."C",
    at bigint NOT NULL,
    items text NOT NULL
);
CREATE TABLE public.policy_file (
    kind character varying NOT NULL COLLATE pg_catalog."C",
    name character varying NOT NULL COLLATE pg_catalog."C",
    etag bigint NOT NULL,
    text text NOT NULL,
    updated_at bigint NOT NULL
);
CREATE TABLE public.publication (
    sequence bigint NOT NULL,
    revision character varying NOT NULL COLLATE pg_catalog."C",
    "position" bigint NOT NULL,
    issued_at bigint NOT NULL,
    envelope bytea NOT NULL,
    catalog character varying NOT NULL COLLATE pg_catalog."C",
    rules character varying NOT NULL COLLATE pg_catalog."C",
    roles character varying NOT NULL COLLATE pg_catalog."C",
    rolled_back_to bigint,
    author character varying NOT NULL COLLATE pg_catalog."C",
    note text NOT NULL
);
CREATE TABLE public.published_feature (
    id character varying NOT NULL COLLATE pg_catalog."C",
    type character varying NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.service_level_history (
    feature character varying NOT NULL COLLATE pg_catalog."C",
    item character varying NOT NULL COLLATE pg_catalog."C",
    start bigint NOT NULL,
    level text,
    publication bigint NOT NULL
);
CREATE TABLE public.snapshot (
    "position" bigint NOT NULL,
    manifest character varying NOT NULL COLLATE pg_catalog."C",
    created_at bigint NOT NULL
);
CREATE TABLE public.status_monitor (
    name character varying NOT NULL COLLATE pg_catalog."C",
    etag bigint NOT NULL,
    key character varying COLLATE pg_catalog."C",
    features text NOT NULL,
    every bigint,
    description text NOT NULL,
    heard_at bigint,
    silent_since bigint,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
)
WITH (fillfactor='75');
CREATE TABLE public.status_report (
    id character varying NOT NULL COLLATE pg_catalog."C",
    etag bigint NOT NULL,
    feature character varying NOT NULL COLLATE pg_catalog."C",
    status character varying NOT NULL COLLATE pg_catalog."C",
    start bigint NOT NULL,
    until bigint NOT NULL,
    reporter_kind character varying NOT NULL COLLATE pg_catalog."C",
    reporter character varying NOT NULL COLLATE pg_catalog."C",
    source_key character varying NOT NULL COLLATE pg_catalog."C",
    note text NOT NULL,
    public_note text NOT NULL,
    audience text,
    created_at bigint NOT NULL,
    created_by character varying NOT NULL COLLATE pg_catalog."C",
    updated_at bigint NOT NULL,
    updated_by character varying NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.status_silence (
    monitor character varying NOT NULL COLLATE pg_catalog."C",
    feature character varying NOT NULL COLLATE pg_catalog."C",
    start bigint NOT NULL,
    until bigint NOT NULL
);
CREATE TABLE public.store (
    key integer NOT NULL,
    id character varying NOT NULL COLLATE pg_catalog."C",
    created_at bigint NOT NULL,
    bootstrapped_at bigint
);
CREATE TABLE public.subject_record (
    customer character varying NOT NULL COLLATE pg_catalog."C",
    "position" bigint NOT NULL,
    record bytea NOT NULL,
    next_at bigint
);
CREATE TABLE public.subscription (
    id character varying NOT NULL COLLATE pg_catalog."C",
    customer character varying NOT NULL COLLATE pg_catalog."C",
    etag bigint NOT NULL,
    status character varying NOT NULL COLLATE pg_catalog."C",
    start bigint,
    "end" bigint,
    trial_end bigint,
    grace_until bigint,
    resume_at bigint,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    metadata text DEFAULT '{}'::text NOT NULL,
    external_ids text DEFAULT '{}'::text NOT NULL,
    search text DEFAULT ''::text NOT NULL,
    resumes_as character varying COLLATE pg_catalog."C",
    term text
);
CREATE TABLE public.suspension (
    holder_type character varying NOT NULL COLLATE pg_catalog."C",
    holder character varying NOT NULL COLLATE pg_catalog."C",
    place integer NOT NULL,
    feature character varying NOT NULL COLLATE pg_catalog."C",
    start bigint NOT NULL,
    until bigint NOT NULL,
    reason text NOT NULL
);
CREATE TABLE public.tombstone (
    kind character varying NOT NULL COLLATE pg_catalog."C",
    id character varying NOT NULL COLLATE pg_catalog."C",
    etag bigint NOT NULL
);
CREATE TABLE public.usage_account (
    customer character varying NOT NULL COLLATE pg_catalog."C",
    feature character varying NOT NULL COLLATE pg_catalog."C",
    scope character varying NOT NULL COLLATE pg_catalog."C",
    member character varying NOT NULL COLLATE pg_catalog."C",
    start bigint NOT NULL,
    until bigint NOT NULL,
    booked bigint NOT NULL,
    leased bigint NOT NULL,
    leases bigint NOT NULL,
    version bigint NOT NULL,
    allowance bigint,
    limit_units bigint,
    drawn text,
    fired text,
    next_at bigint
)
WITH (fillfactor='75');
CREATE TABLE public.usage_days (
    feature character varying NOT NULL COLLATE pg_catalog."C",
    month integer NOT NULL,
    customer character varying NOT NULL COLLATE pg_catalog."C",
    units bytea NOT NULL
)
WITH (fillfactor='75');
CREATE TABLE public.usage_grant (
    customer character varying NOT NULL COLLATE pg_catalog."C",
    feature character varying NOT NULL COLLATE pg_catalog."C",
    id character varying NOT NULL COLLATE pg_catalog."C",
    amount bigint NOT NULL,
    spent bigint NOT NULL,
    start bigint NOT NULL,
    until bigint NOT NULL,
    priority integer NOT NULL,
    reason text NOT NULL,
    author character varying NOT NULL COLLATE pg_catalog."C",
    created_at bigint NOT NULL,
    next_at bigint
);
CREATE TABLE public.usage_holder (
    holder character varying NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    instance bytea NOT NULL,
    sequence bigint NOT NULL,
    booked_through bigint NOT NULL,
    last_lease bigint NOT NULL,
    leases bigint NOT NULL,
    reply bytea,
    seen bigint NOT NULL
);
CREATE TABLE public.usage_hours (
    feature character varying NOT NULL COLLATE pg_catalog."C",
    day integer NOT NULL,
    customer character varying NOT NULL COLLATE pg_catalog."C",
    units bytea NOT NULL
)
WITH (fillfactor='75');
CREATE TABLE public.usage_key (
    key bytea NOT NULL,
    digests bytea NOT NULL,
    at bigint NOT NULL,
    answer bytea
);
CREATE TABLE public.usage_lease (
    holder character varying NOT NULL COLLATE pg_catalog."C",
    number bigint NOT NULL,
    customer character varying NOT NULL COLLATE pg_catalog."C",
    feature character varying NOT NULL COLLATE pg_catalog."C",
    scope character varying NOT NULL COLLATE pg_catalog."C",
    member character varying NOT NULL COLLATE pg_catalog."C",
    start bigint NOT NULL,
    units bigint NOT NULL,
    spent bigint NOT NULL,
    expires bigint NOT NULL,
    written_off boolean NOT NULL
);
CREATE TABLE public.usage_threshold (
    customer character varying NOT NULL COLLATE pg_catalog."C",
    feature character varying NOT NULL COLLATE pg_catalog."C",
    levels text NOT NULL,
    etag bigint NOT NULL,
    updated_at bigint NOT NULL
);
CREATE TABLE public.usage_window (
    customer character varying NOT NULL COLLATE pg_catalog."C",
    feature character varying NOT NULL COLLATE pg_catalog."C",
    scope character varying NOT NULL COLLATE pg_catalog."C",
    member character varying NOT NULL COLLATE pg_catalog."C",
    start bigint NOT NULL,
    until bigint NOT NULL,
    booked bigint NOT NULL,
    leased bigint NOT NULL,
    leases bigint NOT NULL,
    version bigint NOT NULL,
    allowance bigint,
    limit_units bigint,
    drawn text,
    fired text
);
CREATE TABLE public.webhook (
    id character varying NOT NULL COLLATE pg_catalog."C",
    etag bigint NOT NULL,
    url text NOT NULL,
    events text NOT NULL,
    secrets text NOT NULL,
    description text NOT NULL,
    enabled boolean NOT NULL,
    failing_since bigint,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);
ALTER TABLE ONLY public.audit ALTER COLUMN id SET DEFAULT nextval('public.audit_id_seq'::regclass);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.as_of
    ADD CONSTRAINT as_of_pkey PRIMARY KEY (kind, id, side);
ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.blob
    ADD CONSTRAINT blob_pkey PRIMARY KEY (sha256);
ALTER TABLE ONLY public.budget_spent
    ADD CONSTRAINT budget_spent_pkey PRIMARY KEY (feature, item);
ALTER TABLE ONLY public.bundle
    ADD CONSTRAINT bundle_pkey PRIMARY KEY (revision);
ALTER TABLE ONLY public.customer
    ADD CONSTRAINT customer_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.customer_tag
    ADD CONSTRAINT customer_tag_pkey PRIMARY KEY (tag, customer);
ALTER TABLE ONLY public.delivery
    ADD CONSTRAINT delivery_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.event_head
    ADD CONSTRAINT event_head_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY public.external_id
    ADD CONSTRAINT external_id_pkey PRIMARY KEY (kind, system, value);
ALTER TABLE ONLY public.feature
    ADD CONSTRAINT feature_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.feature_status
    ADD CONSTRAINT feature_status_pkey PRIMARY KEY (feature);
ALTER TABLE ONLY public.feature_tag
    ADD CONSTRAINT feature_tag_pkey PRIMARY KEY (tag, feature);
ALTER TABLE ONLY public.feed_head
    ADD CONSTRAINT feed_head_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.feed
    ADD CONSTRAINT feed_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY public.held_item
    ADD CONSTRAINT held_item_pkey PRIMARY KEY (subscription, place);
ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (caller, key);
ALTER TABLE ONLY public.item
    ADD CONSTRAINT item_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.item_tag
    ADD CONSTRAINT item_tag_pkey PRIMARY KEY (tag, item);
ALTER TABLE ONLY public.item_version
    ADD CONSTRAINT item_version_pkey PRIMARY KEY (item, version);
ALTER TABLE ONLY public.outcome_hour
    ADD CONSTRAINT outcome_hour_pkey PRIMARY KEY (feature, hour);
ALTER TABLE ONLY public.outcome_judgement
    ADD CONSTRAINT outcome_judgement_pkey PRIMARY KEY (feature, item, hour);
ALTER TABLE ONLY public.outcome_source
    ADD CONSTRAINT outcome_source_pkey PRIMARY KEY (source);
ALTER TABLE ONLY public.override
    ADD CONSTRAINT override_pkey PRIMARY KEY (holder_type, holder, id);
ALTER TABLE ONLY public.plan_ending
    ADD CONSTRAINT plan_ending_pkey PRIMARY KEY (subscription);
ALTER TABLE ONLY public.policy_file
    ADD CONSTRAINT policy_file_pkey PRIMARY KEY (kind, name);
ALTER TABLE ONLY public.publication
    ADD CONSTRAINT publication_pkey PRIMARY KEY (sequence);
ALTER TABLE ONLY public.published_feature
    ADD CONSTRAINT published_feature_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.service_level_history
    ADD CONSTRAINT service_level_history_pkey PRIMARY KEY (feature, item, start);
ALTER TABLE ONLY public.snapshot
    ADD CONSTRAINT snapshot_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY public.status_monitor
    ADD CONSTRAINT status_monitor_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.status_report
    ADD CONSTRAINT status_report_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.status_silence
    ADD CONSTRAINT status_silence_pkey PRIMARY KEY (monitor, feature, start);
ALTER TABLE ONLY public.store
    ADD CONSTRAINT store_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.subject_record
    ADD CONSTRAINT subject_record_pkey PRIMARY KEY (customer);
ALTER TABLE ONLY public.subscription
    ADD CONSTRAINT subscription_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.suspension
    ADD CONSTRAINT suspension_pkey PRIMARY KEY (holder_type, holder, place);
ALTER TABLE ONLY public.tombstone
    ADD CONSTRAINT tombstone_pkey PRIMARY KEY (kind, id);
ALTER TABLE ONLY public.usage_account
    ADD CONSTRAINT usage_account_pkey PRIMARY KEY (customer, feature, scope, member);
ALTER TABLE ONLY public.usage_days
    ADD CONSTRAINT usage_days_pkey PRIMARY KEY (feature, month, customer);
ALTER TABLE ONLY public.usage_grant
    ADD CONSTRAINT usage_grant_pkey PRIMARY KEY (customer, feature, id);
ALTER TABLE ONLY public.usage_holder
    ADD CONSTRAINT usage_holder_pkey PRIMARY KEY (holder);
ALTER TABLE ONLY public.usage_hours
    ADD CONSTRAINT usage_hours_pkey PRIMARY KEY (feature, day, customer);
ALTER TABLE ONLY public.usage_key
    ADD CONSTRAINT usage_key_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.usage_lease
    ADD CONSTRAINT usage_lease_pkey PRIMARY KEY (holder, number);
ALTER TABLE ONLY public.usage_threshold
    ADD CONSTRAINT usage_threshold_pkey PRIMARY KEY (customer, feature);
ALTER TABLE ONLY public.usage_window
    ADD CONSTRAINT usage_window_pkey PRIMARY KEY (customer, feature, scope, member, start);
ALTER TABLE ONLY public.webhook
    ADD CONSTRAINT webhook_pkey PRIMARY KEY (id);
CREATE INDEX audit_resource ON public.audit USING btree (kind, resource, id);
CREATE INDEX delivery_due ON public.delivery USING btree (status, due_at);
CREATE INDEX delivery_line ON public.delivery USING btree (webhook, line, "position") WHERE ((status)::text = 'waiting'::text);
CREATE INDEX delivery_webhook_created ON public.delivery USING btree (webhook, created_at, id);
CREATE INDEX delivery_webhook_due ON public.delivery USING btree (webhook, status, due_at);
CREATE INDEX delivery_webhook_position ON public.delivery USING btree (webhook, "position");
CREATE INDEX event_customer_position ON public.event USING btree (customer, "position");
CREATE INDEX event_recorded_at ON public.event USING btree (recorded_at);
CREATE INDEX event_type_position ON public.event USING btree (type, "position");
CREATE INDEX external_id_kind_holder ON public.external_id USING btree (kind, holder);
CREATE INDEX feature_status_next_at ON public.feature_status USING btree (next_at) WHERE (next_at IS NOT NULL);
CREATE INDEX feed_customer_position ON public.feed USING btree (customer, "position");
CREATE INDEX held_item_item_version ON public.held_item USING btree (item, version);
CREATE INDEX ix_audit_action ON public.audit USING btree (action);
CREATE INDEX ix_audit_actor ON public.audit USING btree (actor);
CREATE INDEX ix_audit_at ON public.audit USING btree (at);
CREATE INDEX ix_audit_customer ON public.audit USING btree (customer);
CREATE INDEX ix_customer_tag_customer ON public.customer_tag USING btree (customer);
CREATE INDEX ix_feature_status ON public.feature USING btree (status);
CREATE INDEX ix_feature_tag_feature ON public.feature_tag USING btree (feature);
CREATE INDEX ix_feature_type ON public.feature USING btree (type);
CREATE INDEX ix_feed_at ON public.feed USING btree (at);
CREATE INDEX ix_idempotency_created_at ON public.idempotency USING btree (created_at);
CREATE INDEX ix_item_kind ON public.item USING btree (kind);
CREATE INDEX ix_item_private_to ON public.item USING btree (private_to);
CREATE INDEX ix_item_tag_item ON public.item_tag USING btree (item);
CREATE INDEX ix_override_feature ON public.override USING btree (feature);
CREATE INDEX ix_publication_issued_at ON public.publication USING btree (issued_at);
CREATE INDEX ix_publication_revision ON public.publication USING btree (revision);
CREATE INDEX ix_subscription_customer ON public.subscription USING btree (customer);
CREATE INDEX ix_subscription_status ON public.subscription USING btree (status);
CREATE INDEX ix_suspension_feature ON public.suspension USING btree (feature);
CREATE INDEX outcome_hour_bad ON public.outcome_hour USING btree (hour) WHERE (bad > 0);
CREATE INDEX outcome_hour_hour ON public.outcome_hour USING btree (hour);
CREATE INDEX outcome_judgement_hour ON public.outcome_judgement USING btree (hour);
CREATE INDEX outcome_source_seen_at ON public.outcome_source USING btree (seen_at);
CREATE INDEX status_report_feature_until ON public.status_report USING btree (feature, until);
CREATE INDEX status_report_source ON public.status_report USING btree (reporter, source_key);
CREATE INDEX status_report_start ON public.status_report USING btree (start, id);
CREATE INDEX status_report_until ON public.status_report USING btree (until, start, feature, status, reporter_kind);
CREATE INDEX status_silence_feature_until ON public.status_silence USING btree (feature, until);
CREATE INDEX status_silence_until ON public.status_silence USING btree (until);
CREATE INDEX subject_record_next_at ON public.subject_record USING btree (next_at) WHERE (next_at IS NOT NULL);
CREATE INDEX usage_account_feature ON public.usage_account USING btree (feature, scope);
CREATE INDEX usage_account_next_at ON public.usage_account USING btree (next_at) WHERE (next_at IS NOT NULL);
CREATE INDEX usage_account_until ON public.usage_account USING btree (until);
CREATE INDEX usage_grant_next_at ON public.usage_grant USING btree (next_at) WHERE (next_at IS NOT NULL);
CREATE INDEX usage_grant_until ON public.usage_grant USING brin (until);
CREATE INDEX usage_key_at ON public.usage_key USING brin (at);
CREATE INDEX usage_window_until ON public.usage_window USING brin (until);
CREATE TRIGGER audit_is_kept BEFORE DELETE OR TRUNCATE ON public.audit FOR EACH STATEMENT EXECUTE FUNCTION public.audit_is_kept();
CREATE TRIGGER audit_is_unchanged BEFORE UPDATE ON public.audit FOR EACH ROW WHEN (((NOT new.redacted) OR (new.id <> old.id) OR (new.at <> old.at) OR ((new.actor_kind)::text <> (old.actor_kind)::text) OR ((new.action)::text <> (old.action)::text) OR ((new.kind)::text <> (old.kind)::text))) EXECUTE FUNCTION public.audit_is_kept();
