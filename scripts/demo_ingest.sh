# shellcheck shell=bash disable=SC2154 # what scripts/demo and lib.sh have set
# demo_ingest.sh: what scripts/demo does with --ingest. The events of a transaction
# API, as the federation's sends them, go on a topic, or into a file where no Kafka
# can be had; esgf_stac_ingest performs them, is killed half way, and goes on; what
# became of each goes out as the federation's own success and error events.

topic=transactions outcomes=$temp/outcomes
ingest=("${as_worker[@]}" "$bin/esgf_stac_ingest" --dbname "dbname=catalogue user=ingester" --source api --batch 100)
ingest() {
	"${ingest[@]}" 2>>"$temp/ingest.log"
}

# Why there is no Kafka to be had; nothing if there is.
kafka_missing() {
	local command
	for command in fetch check; do
		run "${as_worker[@]}" "$temp/scripts/server" "$command" kafka 2>"$temp/kafka.log" || { tail -n 1 "$temp/kafka.log"; return; }
	done
	"$bin/esgf_stac_ingest" --help | grep -q kafka: || echo "esgf_stac_ingest was built without librdkafka"
}

broker() {
	setsid "${as_worker[@]}" "$temp/scripts/server" kafka "$temp/kafka" "${broker#*:}" "$(free_port)" num.partitions=4 >"$temp/kafka.log" 2>&1
}

# A broker, and a topic of four partitions; or a file that stands for one.
start_topic() {
	local missing i
	step "start a Kafka broker"
	missing=$(kafka_missing)
	if [ -n "$missing" ]; then
		broker=''
		result "a file does"
		detail "$missing"
		ingest+=(--from "ndjson:$temp/$topic" --follow --results "ndjson:$outcomes.{outcome}")
		return
	fi
	broker=127.0.0.1:$(free_port)
	broker 2>/dev/null &
	for i in {1..600}; do
		! kcat -b "$broker" -L -m 1 2>/dev/null | grep -q '^ 1 brokers:' || break
		if [ "$i" -eq 600 ] || ! kill -0 $! 2>/dev/null; then
			fail "Kafka does not answer: $(tail -n 3 "$temp/kafka.log")"
		fi
		sleep 0.1
	done
	ingest+=(--from "kafka:$broker/$topic" --results "kafka:$broker/{outcome}")
	result "$broker"
}

# Events, each after its key and a tab, in the order in which a day might bring them:
# publications, and then what is done to items, some of it in vain.
make_events() {
	query -F $'\t' -f - <<SQL
WITH item AS (
    SELECT n, i AS item, i ->> 'id' AS id, CASE WHEN i #>> '{assets}' LIKE '%esgf-data.dkrz.de%' THEN 'ceda.ac.uk' ELSE 'esgf-data.dkrz.de' END AS other
      FROM generate_series(0, $items - 1) n, generator.item(n) i
), event (part, n, id, method, payload) AS (
    SELECT 1, n, id, 'POST', jsonb_build_object('item', jsonb_set(item, '{properties,platform}', 'null')) FROM item
    UNION ALL
    SELECT 2, n, id, 'PATCH', jsonb_build_object('patch', (
        SELECT jsonb_agg(jsonb_build_object('op', 'add', 'path', format('/assets/%s/alternate/%s', key, other), 'value', value))
          FROM jsonb_each(generator.replica(item, other)))) FROM item WHERE n % 5 = 0
    UNION ALL
    SELECT 3, n, id, 'PATCH', '{"patch": [{"op": "replace", "path": "/properties/latest", "value": false}, {"op": "replace", "path": "/properties/retracted", "value": true},
        {"op": "replace", "path": "/assets", "value": {}}]}' FROM item WHERE n % 20 = 0
    UNION ALL
    SELECT 4, n, replace(id, 'CMIP6.', 'CMIP6.unknown.'), 'PATCH', '{"patch": {"properties": {"title": "nobody has this"}}}' FROM item WHERE n % 50 = 0
    UNION ALL
    SELECT 5, n, id, 'POST', jsonb_build_object('item', item) FROM item WHERE n % 50 = 1
)
SELECT id, jsonb_build_object(
           'metadata', jsonb_build_object('event_id', md5(concat('event ', part, ' ', n)), 'request_id', concat('request-', part, '-', n), 'time', '2026-07-17T09:18:58+00:00',
               'schema_version', '1.0.0', 'publisher', '{"package": "stac-transaction-api", "version": "1.0"}'::jsonb,
               'auth', jsonb_build_object('auth_policy_id', NULL, 'requester_data', jsonb_build_object('client_id', 'publisher',
                   'iss', 'https://aai.egi.eu/auth/realms/egi', 'sub', concat('publisher-', n % 5, '@example.org')))),
           'data', jsonb_build_object('type', 'STAC', 'payload', jsonb_build_object('method', method, 'collection_id', 'CMIP6', 'item_id', id) || payload))
  FROM event ORDER BY part, n;
SQL
	printf 'poison\t{"data": this is no JSON\n'
}

# Put a file of events on the topic.
send_events() {
	if [ -n "$broker" ]; then
		kcat -b "$broker" -P -t "$topic" -K $'\t' -l "$1" -X message.max.bytes=20000000
	else
		cut -f 2- "$1" >>"$temp/$topic"
	fi
}

# An ingester that outlives this terminal.
keep_ingest() {
	setsid "${ingest[@]}" </dev/null >/dev/null 2>>"$temp/ingest.log" &
}

# How many events have been performed.
performed() { query -c 'SELECT count(*) FROM esgf_stac.inbox'; }

# An ingester in the background; wait until so many events are performed.
ingest_until() {
	local count=$1 done=0
	ingest 2>/dev/null &
	ingester=$!
	while done=$(performed) && [ "$done" -lt "$count" ]; do
		kill -0 "$ingester" 2>/dev/null || fail "the ingester has ended: $(tail -n 3 "$temp/ingest.log")"
		progress "$(thousands "$done") of $(thousands "$count")"
		sleep 0.1
	done
}

# The outcome events of a kind, as they went out.
outcome_events() {
	if [ -n "$broker" ]; then
		kcat -b "$broker" -C -e -q -t "$1"
	else
		cat "$outcomes.$1"
	fi
}

# The job: what stands in the file of the API's events is in the database, once.
ingest_events() {
	local all half after success error kinds
	start_topic
	step "a transaction API puts its events on the topic"
	make_events >"$temp/events"
	all=$(wc -l <"$temp/events") half=$((all / 2))
	head -n "$half" "$temp/events" >"$temp/first"
	tail -n +$((half + 1)) "$temp/events" >"$temp/second"
	send_events "$temp/first"
	result "$(thousands "$all") events"
	detail "$(thousands "$items") POST, then replicas of every fifth, retraction of every twentieth, unknown items," \
		"items that are there already, and one event that is no JSON"

	step "make a source, and say what its events may do"
	query -c "SELECT esgf_stac.create_source('api')" -c "CREATE ROLE ingester LOGIN IN ROLE esgf_stac_ingest" \
		-c "SELECT esgf_stac.grant_access('source:api', role, scope, '*')
		  FROM unnest('{CREATE,UPDATE,REPLICATE,RETRACT}'::text[]) role, unnest('{project,node}'::text[]) scope
		 WHERE scope = 'project' OR role <> 'RETRACT'" >/dev/null
	result "$(query -c "SELECT count(*) || ' rules' FROM esgf_stac.access_rule")"

	step "esgf_stac_ingest performs them, until kill -9 half way"
	ingest_until $((half / 2))
	signal_processes KILL /esgf_stac_ingest || fail "the ingester has ended: $(tail -n 3 "$temp/ingest.log")"
	signal_processes KILL /esgf_stac_relay || fail "the relay has ended: $(tail -n 3 "$temp/relay.log")"
	wait "$ingester" 2>/dev/null || true
	wait_for "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'ingester')"
	after=$(performed)
	result "after $(thousands "$after") events"
	detail "the relay is killed, too: what follows happens without it"

	step "start it again: it goes on where it was"
	send_events "$temp/second"
	ingest_until "$all"
	wait_for "SELECT bool_and(results_offset = next_offset) FROM esgf_stac.source_partition"
	signal_processes TERM /esgf_stac_ingest || fail "the ingester has ended: $(tail -n 3 "$temp/ingest.log")"
	wait "$ingester" || fail "the ingester failed: $(tail -n 3 "$temp/ingest.log")"
	[ "$(performed)" -eq "$all" ] || fail "$(performed) of $all events were performed"
	result "$(thousands $((all - after))) events more"

	step "what became of each"
	query -F '  ' -c "
		SELECT status, rpad(coalesce(outcome #>> '{problem,title}', outcome ->> 'action', 'nothing changed'), 40), count(*)
		  FROM esgf_stac.inbox GROUP BY 1, 2 ORDER BY 1, 3 DESC" >"$temp/kinds"
	result "$(query -c 'SELECT count(*) FROM esgf_stac.inbox WHERE status >= 400') are refused, the others done once"
	mapfile -t kinds <"$temp/kinds"
	detail "${kinds[@]}"

	step "the federation's own events say so to whoever listens"
	success=$(outcome_events success | wc -l) error=$(outcome_events error | wc -l)
	[ $((success + error)) -ge "$all" ] || fail "$success successes and $error errors"
	result "$(thousands "$success") successes, $(thousands "$error") errors"
	# shellcheck disable=SC2034 # for ask_index
	retracted=$(query -c 'SELECT count(*) FROM esgf_stac.item WHERE retracted')
}

# Once the relay has delivered: an author asks after his request.
ask_after_request() {
	local id state
	step "an author asks what became of his retraction, and where it is"
	id="request-3-0"
	state=$(query -c "SELECT DISTINCT stream || ': ' || state FROM esgf_stac.delivery_status(request_id => '$id') WHERE stream = 'index'")
	[ "$state" = "index: delivered" ] || fail "request $id: $state"
	result "$state"
	detail "request_status('$id'): $(query -c "SELECT status, action, 'version', version FROM esgf_stac.request_status('$id')")"
}
