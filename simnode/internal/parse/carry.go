package parse

import (
	"slices"
	"strings"
	"unicode"

	"google.golang.org/protobuf/proto"
)

// carry refuses m if it has a field set other than those named: the translation
// of m looks at these and at nothing else.
func (t *translator) carry(m proto.Message, fields ...string) {
	r := m.ProtoReflect()
	all := r.Descriptor().Fields()
	for i := range all.Len() {
		fd := all.Get(i)
		if name := string(fd.Name()); r.Has(fd) && !slices.Contains(fields, name) {
			t.unsupported(fieldFeature(string(r.Descriptor().Name()), name))
			return
		}
	}
}

// fieldFeature names what a field of a node stands for, as a user knows it.
func fieldFeature(node, field string) string {
	switch node + "." + field {
	case "SelectStmt.distinct_clause":
		return "DISTINCT"
	case "SelectStmt.into_clause":
		return "SELECT INTO"
	case "SelectStmt.group_clause", "SelectStmt.group_distinct":
		return "GROUP BY"
	case "SelectStmt.having_clause":
		return "HAVING"
	case "SelectStmt.window_clause", "FuncCall.over":
		return "a window function"
	case "TruncateStmt.restart_seqs":
		return "TRUNCATE … RESTART IDENTITY"
	case "UpdateStmt.from_clause":
		return "UPDATE … FROM"
	case "DeleteStmt.using_clause":
		return "DELETE … USING"
	case "FuncCall.agg_distinct":
		return "DISTINCT in an aggregate"
	case "FuncCall.agg_order", "FuncCall.agg_within_group":
		return "ORDER BY in an aggregate"
	case "FuncCall.agg_filter":
		return "FILTER in an aggregate"
	case "FuncCall.func_variadic":
		return "VARIADIC"
	case "TypeName.array_bounds":
		return "an array type"
	case "SortBy.use_op":
		return "ORDER BY … USING"
	case "InsertStmt.override":
		return "OVERRIDING VALUE"
	case "InferClause.where_clause", "IndexStmt.where_clause":
		return "a partial index"
	case "CreateSchemaStmt.authrole":
		return "CREATE SCHEMA … AUTHORIZATION"
	case "CreateSchemaStmt.schema_elts":
		return "CREATE SCHEMA with elements"
	case "ResTarget.indirection":
		return "a subscript or field in a target column"
	case "RangeFunction.ordinality":
		return "WITH ORDINALITY"
	case "RangeFunction.lateral", "RangeSubselect.lateral":
		return "LATERAL"
	}
	return tableFeature(node, field)
}

func tableFeature(node, field string) string {
	switch field {
	case "with_clause":
		return "WITH"
	case "inh_relations":
		return "table inheritance"
	case "partbound", "partspec":
		return "partitioning"
	case "of_typename":
		return "CREATE TABLE OF"
	case "options":
		return "a storage parameter"
	case "oncommit":
		return "ON COMMIT"
	case "tablespacename", "table_space", "indexspace":
		return "a tablespace"
	case "access_method":
		return "an access method other than btree"
	case "identity", "identity_sequence":
		return "an identity column"
	case "generated":
		return "a generated column"
	case "coll_clause", "collation":
		return "COLLATE"
	case "deferrable", "initdeferred":
		return "a deferrable constraint"
	case "nulls_not_distinct":
		return "NULLS NOT DISTINCT"
	case "including", "index_including_params":
		return "INCLUDE"
	case "indexname":
		return "USING INDEX"
	case "concurrent":
		return "CONCURRENTLY"
	case "expr":
		return "an index on an expression"
	case "opclass", "opclassopts":
		return "an operator class"
	case "catalogname":
		return "a cross-database reference"
	default:
		return words(node) + " " + strings.ToUpper(strings.ReplaceAll(field, "_", " "))
	}
}

// nodeFeature names what a node stands for.
func nodeFeature(node string) string {
	switch node {
	case "SubLink":
		return "a subquery"
	case "A_ArrayExpr", "ArrayExpr":
		return "an array"
	case "RowExpr":
		return "a row expression"
	case "A_Indirection":
		return "a subscript or field selection"
	case "JoinExpr":
		return "JOIN"
	case "RangeTableSample":
		return "TABLESAMPLE"
	case "CollateClause":
		return "COLLATE"
	case "NamedArgExpr":
		return "a named argument"
	case "CurrentOfExpr":
		return "WHERE CURRENT OF"
	case "GroupingFunc":
		return "GROUPING"
	case "BitString":
		return "type bit"
	case "TableLikeClause":
		return "CREATE TABLE LIKE"
	case "XmlExpr", "XmlSerialize":
		return "type xml"
	}
	if strings.HasPrefix(node, "Json") {
		return "JSON"
	}
	return commandFeature(node)
}

func commandFeature(node string) string {
	switch node {
	case "AlterTableStmt":
		return "ALTER TABLE"
	case "IndexStmt":
		return "CREATE INDEX"
	case "CreateTrigStmt":
		return "CREATE TRIGGER"
	case "ViewStmt":
		return "CREATE VIEW"
	case "CreateTableAsStmt":
		return "CREATE TABLE AS"
	case "CreateSeqStmt":
		return "CREATE SEQUENCE"
	case "AlterSeqStmt":
		return "ALTER SEQUENCE"
	case "CreatedbStmt":
		return "CREATE DATABASE"
	case "DropdbStmt":
		return "DROP DATABASE"
	case "CreateEnumStmt", "CompositeTypeStmt", "DefineStmt", "CreateRangeStmt":
		return "CREATE TYPE"
	case "CreatePlangStmt":
		return "CREATE LANGUAGE"
	case "RuleStmt":
		return "CREATE RULE"
	case "RenameStmt":
		return "ALTER … RENAME"
	case "ClosePortalStmt":
		return "CLOSE"
	case "LockStmt":
		return "LOCK TABLE"
	case "ConstraintsSetStmt":
		return "SET CONSTRAINTS"
	case "RefreshMatViewStmt":
		return "REFRESH MATERIALIZED VIEW"
	case "GrantRoleStmt":
		return "GRANT"
	case "SecLabelStmt":
		return "SECURITY LABEL"
	case "CheckPointStmt":
		return "CHECKPOINT"
	default:
		return words(node)
	}
}

// words makes "CREATE FUNCTION" of "CreateFunctionStmt".
func words(node string) string {
	var b strings.Builder
	for i, r := range strings.TrimSuffix(node, "Stmt") {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return strings.ReplaceAll(b.String(), "_ ", "")
}
