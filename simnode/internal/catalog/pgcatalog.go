package catalog

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/anywriter/anywriter/simnode/internal/types"
)

// The catalogs that queries can read, with the OIDs and the columns of PostgreSQL
// 15: name:type, in their order, with ! for NOT NULL. A minus marks a column whose
// values the cluster does not have; naming it is 0A000. Nothing is stored: package
// exec asks System for the rows.
const (
	pgNamespace = "oid:26! nspname:19! nspowner:26! -nspacl:1034"
	pgClass     = `oid:26! relname:19! relnamespace:26! -reltype:26! -reloftype:26! relowner:26! -relam:26!
		-relfilenode:26! -reltablespace:26! -relpages:23! -reltuples:700! -relallvisible:23! -reltoastrelid:26!
		relhasindex:16! relisshared:16! relpersistence:18! relkind:18! relnatts:21! relchecks:21! relhasrules:16!
		relhastriggers:16! relhassubclass:16! relrowsecurity:16! relforcerowsecurity:16! relispopulated:16!
		-relreplident:18! relispartition:16! -relrewrite:26! -relfrozenxid:28! -relminmxid:28! -relacl:1034
		-reloptions:1009 -relpartbound:194`
	pgAttribute = `attrelid:26! attname:19! atttypid:26! -attstattarget:23! -attlen:21! attnum:21! -attndims:23!
		-attcacheoff:23! atttypmod:23! -attbyval:16! -attalign:18! -attstorage:18! -attcompression:18!
		attnotnull:16! atthasdef:16! -atthasmissing:16! attidentity:18! attgenerated:18! attisdropped:16!
		attislocal:16! attinhcount:23! -attcollation:26! -attacl:1034 -attoptions:1009 -attfdwoptions:1009
		-attmissingval:2277`
	pgIndex = `indexrelid:26! indrelid:26! indnatts:21! indnkeyatts:21! indisunique:16! indnullsnotdistinct:16!
		indisprimary:16! indisexclusion:16! indimmediate:16! indisclustered:16! indisvalid:16! indcheckxmin:16!
		indisready:16! indislive:16! indisreplident:16! indkey:22! -indcollation:30! -indclass:30! -indoption:22!
		indexprs:194 indpred:194`
	pgDatabase = `oid:26! datname:19! datdba:26! encoding:23! -datlocprovider:18! datistemplate:16!
		datallowconn:16! datconnlimit:23! -datfrozenxid:28! -datminmxid:28! -dattablespace:26! datcollate:25!
		datctype:25! -daticulocale:25 -datcollversion:25 -datacl:1034`
	pgRoles = `rolname:19 rolsuper:16 rolinherit:16 -rolcreaterole:16 -rolcreatedb:16 rolcanlogin:16
		-rolreplication:16 rolconnlimit:23 -rolpassword:25 -rolvaliduntil:1184 -rolbypassrls:16 -rolconfig:1009
		oid:26`
)

// otherCatalogs are the tables and views of PostgreSQL 15's pg_catalog that the
// cluster does not have.
const otherCatalogs = ` pg_aggregate pg_am pg_amop pg_amproc pg_attrdef pg_auth_members pg_authid pg_available_extension_versions
 pg_available_extensions pg_backend_memory_contexts pg_cast pg_collation pg_config pg_constraint pg_conversion
 pg_cursors pg_db_role_setting pg_default_acl pg_depend pg_description pg_enum pg_event_trigger pg_extension
 pg_file_settings pg_foreign_data_wrapper pg_foreign_server pg_foreign_table pg_group pg_hba_file_rules
 pg_ident_file_mappings pg_indexes pg_inherits pg_init_privs pg_language pg_largeobject
 pg_largeobject_metadata pg_locks pg_matviews pg_opclass pg_operator pg_opfamily pg_parameter_acl
 pg_partitioned_table pg_policies pg_policy pg_prepared_statements pg_prepared_xacts pg_proc pg_publication
 pg_publication_namespace pg_publication_rel pg_publication_tables pg_range pg_replication_origin
 pg_replication_origin_status pg_replication_slots pg_rewrite pg_rules pg_seclabel pg_seclabels pg_sequence
 pg_sequences pg_settings pg_shadow pg_shdepend pg_shdescription pg_shmem_allocations pg_shseclabel
 pg_stat_activity pg_stat_all_indexes pg_stat_all_tables pg_stat_archiver pg_stat_bgwriter pg_stat_database
 pg_stat_database_conflicts pg_stat_gssapi pg_stat_progress_analyze pg_stat_progress_basebackup
 pg_stat_progress_cluster pg_stat_progress_copy pg_stat_progress_create_index pg_stat_progress_vacuum
 pg_stat_recovery_prefetch pg_stat_replication pg_stat_replication_slots pg_stat_slru pg_stat_ssl
 pg_stat_subscription pg_stat_subscription_stats pg_stat_sys_indexes pg_stat_sys_tables pg_stat_user_functions
 pg_stat_user_indexes pg_stat_user_tables pg_stat_wal pg_stat_wal_receiver pg_stat_xact_all_tables
 pg_stat_xact_sys_tables pg_stat_xact_user_functions pg_stat_xact_user_tables pg_statio_all_indexes
 pg_statio_all_sequences pg_statio_all_tables pg_statio_sys_indexes pg_statio_sys_sequences
 pg_statio_sys_tables pg_statio_user_indexes pg_statio_user_sequences pg_statio_user_tables pg_statistic
 pg_statistic_ext pg_statistic_ext_data pg_stats pg_stats_ext pg_stats_ext_exprs pg_subscription
 pg_subscription_rel pg_tables pg_tablespace pg_timezone_abbrevs pg_timezone_names pg_transform pg_trigger
 pg_ts_config pg_ts_config_map pg_ts_dict pg_ts_parser pg_ts_template pg_type pg_user pg_user_mapping
 pg_user_mappings pg_views `

// isOtherCatalog reports whether PostgreSQL would find a system catalog by a name
// by which we find nothing.
func isOtherCatalog(schema, name string) bool {
	if schema == "information_schema" {
		return true
	}
	return (schema == "" || schema == SchemaCatalog) && slices.Contains(strings.Fields(otherCatalogs), name)
}

// system holds the catalogs by name and in the order of their OIDs. It never
// changes.
type system struct {
	byName  map[string]*Relation
	ordered []*Relation
}

var catalogs = sync.OnceValue(func() *system {
	s := &system{byName: map[string]*Relation{}}
	add := func(oid uint32, kind Kind, name, columns string) {
		t := &Table{OID: oid, Schema: SchemaCatalog, Name: name, system: kind}
		for _, field := range strings.Fields(columns) {
			t.Columns = append(t.Columns, systemColumn(field))
		}
		rel := &Relation{OID: oid, Schema: SchemaCatalog, Name: name, Kind: kind, Table: t.Seal()}
		s.byName[name] = rel
		s.ordered = append(s.ordered, rel)
	}
	add(1249, KindTable, "pg_attribute", pgAttribute)
	add(1259, KindTable, "pg_class", pgClass)
	add(1262, KindTable, "pg_database", pgDatabase)
	add(2610, KindTable, "pg_index", pgIndex)
	add(2615, KindTable, "pg_namespace", pgNamespace)
	add(12000, KindView, "pg_roles", pgRoles)
	return s
})

func systemColumn(field string) Column {
	name, rest, _ := strings.Cut(field, ":")
	c := Column{TypMod: types.NoTypmod}
	c.Name, c.Absent = strings.CutPrefix(name, "-")
	rest, c.NotNull = strings.CutSuffix(rest, "!")
	oid, err := strconv.ParseUint(rest, 10, 32)
	if err != nil {
		panic(err) // a misprint above
	}
	c.Type = types.OID(oid)
	return c
}

// relationByOID is r's, with the catalogs and without schemas, which are no classes.
func relationByOID(r Reader, oid uint32) (*Relation, bool) {
	for _, rel := range catalogs().ordered {
		if rel.OID == oid {
			return rel, true
		}
	}
	rel, ok := r.RelationByOID(oid)
	return rel, ok && rel.Kind != KindSchema
}

// relationByName is r's, with the catalogs.
func relationByName(r Reader, schema, name string) (*Relation, bool) {
	if schema != SchemaCatalog {
		return r.RelationByName(schema, name)
	}
	rel, ok := catalogs().byName[name]
	return rel, ok
}
