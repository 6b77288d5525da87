package session

import (
	"slices"
	"strings"
)

// definition is what is known of one setting. check gives a value its canonical
// form or refuses it; nil means that no client may change the setting.
type definition struct {
	name        string // as SHOW writes it
	boot        string
	report      bool // ParameterStatus tells the client when it changes
	check       func(name, value string) (string, error)
	description string
}

// catalogue holds the definitions by lower-case name. It never changes.
type catalogue map[string]*definition

// Names of settings that the session itself looks at, as keys of the catalogue.
const (
	keyApplicationName  = "application_name"
	keyByteaOutput      = "bytea_output"
	keyClientMin        = "client_min_messages"
	keyDefaultDefer     = "default_transaction_deferrable"
	keyDefaultIsolation = "default_transaction_isolation"
	keyDefaultReadOnly  = "default_transaction_read_only"
	keyFloatDigits      = "extra_float_digits"
	keyIdleInTx         = "idle_in_transaction_session_timeout"
	keyIdleSession      = "idle_session_timeout"
	keyLockTimeout      = "lock_timeout"
	keySearchPath       = "search_path"
	keyStatementTimeout = "statement_timeout"
	keyTimeZone         = "timezone"
	keyTxDeferrable     = "transaction_deferrable"
	keyTxIsolation      = "transaction_isolation"
	keyTxReadOnly       = "transaction_read_only"

	keyReady       = "simnode.ready"
	keyRole        = "simnode.role"
	keyAuthorized  = "session_authorization"
	serverVersion  = "15.0 (anywriter simnode)"
	versionNumber  = "150000"
	maxMillisRange = 1<<31 - 1
)

// newCatalogue builds the definitions; identity is that of the node.
func newCatalogue(clusterID, nodeID, version string) catalogue {
	c := catalogue{}
	for _, group := range [][]definition{effective(), fixed(clusterID, nodeID, version), ineffective()} {
		for _, d := range group {
			c[strings.ToLower(d.name)] = &d
		}
	}
	return c
}

// sorted gives the definitions in SHOW ALL's order.
func (c catalogue) sorted() []*definition {
	out := make([]*definition, 0, len(c))
	for _, d := range c {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b *definition) int {
		return strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name))
	})
	return out
}

// effective lists the settings that change what the session does.
func effective() []definition {
	millis := checkInt(0, maxMillisRange, unitMillis)
	levels := checkEnum("debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error")
	return []definition{
		{keyApplicationName, "", true, checkASCII, "Sets the application name to be reported in statistics and logs."},
		{keyByteaOutput, "hex", false, checkEnum("escape", "hex"), "Sets the output format for bytea."},
		{"client_encoding", "UTF8", true, checkEncoding, "Sets the client's character set encoding."},
		{keyClientMin, "notice", false, levels, "Sets the message levels that are sent to the client."},
		{"DateStyle", "ISO, MDY", true, checkDateStyle, "Sets the display format for date and time values."},
		{keyDefaultDefer, "off", false, checkBool, "Sets the default deferrable status of new transactions."},
		{keyDefaultIsolation, readCommitted, false, checkIsolation, "Sets the transaction isolation level of each new transaction."},
		{keyDefaultReadOnly, "off", true, checkBool, "Sets the default read-only status of new transactions."},
		{keyFloatDigits, "1", false, checkInt(-15, 3, unitNone), "Sets the number of digits displayed for floating-point values."},
		{keyIdleInTx, "0", false, millis, "Sets the maximum allowed idle time between queries, when in a transaction."},
		{keyIdleSession, "0", false, millis, "Sets the maximum allowed idle time between queries, when not in a transaction."},
		{"IntervalStyle", "postgres", true, checkOnly("postgres", "postgres_verbose", "sql_standard", "iso_8601"), "Sets the display format for interval values."},
		{keyLockTimeout, "0", false, millis, "Sets the maximum allowed duration of any wait for a lock."},
		{keySearchPath, `"$user", public`, false, checkSearchPath, "Sets the schema search order for names that are not schema-qualified."},
		{keyStatementTimeout, "0", false, millis, "Sets the maximum allowed duration of any statement."},
		{"TimeZone", "UTC", true, checkTimeZone, "Sets the time zone for displaying and interpreting time stamps."},
		{keyTxDeferrable, "off", false, checkBool, "Whether to defer a read-only serializable transaction until it can be executed with no possible serialization failures."},
		{keyTxIsolation, readCommitted, false, checkIsolation, "Sets the current transaction's isolation level."},
		{keyTxReadOnly, "off", false, checkBool, "Sets the current transaction's read-only status."},
	}
}

// fixed lists the settings that no client can change.
func fixed(clusterID, nodeID, version string) []definition {
	return []definition{
		{"block_size", "8192", false, nil, "Shows the size of a disk block."},
		{"in_hot_standby", "off", true, nil, "Shows whether hot standby is currently active."},
		{"integer_datetimes", "on", true, nil, "Shows whether datetimes are integer based."},
		{"is_superuser", "on", true, nil, "Shows whether the current user is a superuser."},
		{"lc_collate", "C", false, nil, "Shows the collation order locale."},
		{"lc_ctype", "C", false, nil, "Shows the character classification and case conversion locale."},
		{"max_identifier_length", "63", false, nil, "Shows the maximum identifier length."},
		{"max_index_keys", "32", false, nil, "Shows the maximum number of index keys."},
		{"max_prepared_transactions", "0", false, nil, "Sets the maximum number of simultaneously prepared transactions."},
		{"server_encoding", "UTF8", true, nil, "Shows the server (database) character set encoding."},
		{"server_version", serverVersion, true, nil, "Shows the server version."},
		{"server_version_num", versionNumber, false, nil, "Shows the server version as an integer."},
		{keyAuthorized, "", true, nil, "Shows the session user name."},
		{"simnode.cluster_id", clusterID, true, nil, "Shows the simulated cluster that this node belongs to."},
		{"simnode.node_id", nodeID, true, nil, "Shows the number of this node."},
		{keyReady, "", false, nil, "Shows whether this node can serve now; an error says why not."},
		{keyRole, "", false, nil, "Shows what this node takes now; an error says why it takes nothing."},
		{"simnode.version", version, true, nil, "Shows the simulator's version."},
		{"wal_level", "replica", false, nil, "Sets the level of information written to the WAL."},
	}
}

// ineffective lists settings that clients and their tools set as a matter of
// course and that mean nothing to a node that keeps its data in memory: taking
// them changes no result. synchronous_commit is one of them: a commit is always
// on the quorum before it is answered.
func ineffective() []definition {
	memory := checkInt(64, maxMillisRange, unitKilobytes)
	on := []string{"enable_bitmapscan", "enable_hashagg", "enable_hashjoin", "enable_indexonlyscan", "enable_indexscan", "enable_material", "enable_mergejoin", "enable_nestloop", "enable_seqscan", "enable_sort"}
	out := []definition{
		{"check_function_bodies", "on", false, checkBool, "Check routine bodies during CREATE FUNCTION and CREATE PROCEDURE."},
		{"default_table_access_method", "heap", false, checkOnly("heap"), "Sets the default table access method for new tables."},
		{"default_tablespace", "", false, checkOnly(""), "Sets the default tablespace to create tables and indexes in."},
		{"escape_string_warning", "on", false, checkBool, "Warn about backslash escapes in ordinary string literals."},
		{"jit", "on", false, checkBool, "Allow JIT compilation."},
		{"lc_messages", "C", false, checkOnly("C", "POSIX"), "Sets the language in which messages are displayed."},
		{"maintenance_work_mem", "64MB", false, memory, "Sets the maximum memory to be used for maintenance operations."},
		{"plan_cache_mode", "auto", false, checkEnum("auto", "force_generic_plan", "force_custom_plan"), "Controls the planner's selection of custom or generic plan."},
		{"row_security", "on", false, checkBool, "Enable row security."},
		{"session_replication_role", "origin", false, checkEnum("origin", "replica", "local"), "Sets the session's behavior for triggers and rewrite rules."},
		{"standard_conforming_strings", "on", true, checkOnly("on"), "Causes '...' strings to treat backslashes literally."},
		{"synchronize_seqscans", "on", false, checkBool, "Enable synchronized sequential scans."},
		{"synchronous_commit", "on", false, checkSynchronous, "Sets the current transaction's synchronization level."},
		{"work_mem", "4MB", false, memory, "Sets the maximum memory to be used for query workspaces."},
		{"xmloption", "content", false, checkEnum("content", "document"), "Sets whether XML data in implicit parsing and serialization operations is to be considered as documents or content fragments."},
	}
	for _, name := range on {
		out = append(out, definition{name, "on", false, checkBool, "Has no effect: a node plans without costs."})
	}
	return out
}
