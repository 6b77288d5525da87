package parse

import (
	pgquery "github.com/pganalyze/pg_query_go/v6"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

func (t *translator) createTable(s *pgquery.CreateStmt) *ast.CreateTable {
	fields := []string{"relation", "table_elts", "if_not_exists"}
	if s.Oncommit == pgquery.OnCommitAction_ONCOMMIT_NOOP {
		fields = append(fields, "oncommit")
	}
	if s.Partbound != nil {
		t.unsupported("partitioning")
	}
	t.carry(s, fields...)
	out := &ast.CreateTable{IfNotExists: s.IfNotExists}
	out.Table, _ = t.rangeVar(s.Relation)
	for _, n := range s.TableElts {
		switch e := n.GetNode().(type) {
		case *pgquery.Node_ColumnDef:
			t.columnDef(out, e.ColumnDef)
		case *pgquery.Node_Constraint:
			t.tableConstraint(out, e.Constraint)
		default:
			t.refuse(n)
		}
	}
	return out
}

func (t *translator) columnDef(table *ast.CreateTable, d *pgquery.ColumnDef) {
	t.carry(d, "colname", "type_name", "is_local", "constraints", "location")
	col := ast.ColumnDef{At: t.at(d.Location), Name: d.Colname, Type: t.typeName(d.TypeName)}
	for _, n := range d.Constraints {
		c := n.GetConstraint()
		if c == nil {
			t.refuse(n)
			return
		}
		t.columnConstraint(table, &col, c)
	}
	table.Columns = append(table.Columns, col)
}

func (t *translator) columnConstraint(table *ast.CreateTable, col *ast.ColumnDef, c *pgquery.Constraint) {
	clash := func() {
		t.fail(sqlerr.New("42601", "conflicting NULL/NOT NULL declarations for column %q of table %q",
			col.Name, table.Table.Name).At(int32(t.at(c.Location))))
	}
	switch c.Contype {
	case pgquery.ConstrType_CONSTR_NULL:
		t.carry(c, "contype", "conname", "location")
		if col.NotNull {
			clash()
		}
		col.Null = true
	case pgquery.ConstrType_CONSTR_NOTNULL:
		t.carry(c, "contype", "conname", "location")
		if col.Null {
			clash()
		}
		col.NotNull = true
	case pgquery.ConstrType_CONSTR_DEFAULT:
		t.carry(c, "contype", "conname", "location", "raw_expr")
		if col.Default != nil {
			t.fail(sqlerr.New("42601", "multiple default values specified for column %q of table %q",
				col.Name, table.Table.Name).At(int32(t.at(c.Location))))
		}
		col.Default = t.expr(c.RawExpr)
	case pgquery.ConstrType_CONSTR_PRIMARY, pgquery.ConstrType_CONSTR_UNIQUE:
		t.carry(c, "contype", "conname", "location")
		table.Constraints = append(table.Constraints, ast.Constraint{
			At: t.at(c.Location), Name: c.Conname, Columns: []string{col.Name},
			Primary: c.Contype == pgquery.ConstrType_CONSTR_PRIMARY,
		})
	default:
		t.unsupported(constraintFeature(c.Contype))
	}
}

func (t *translator) tableConstraint(table *ast.CreateTable, c *pgquery.Constraint) {
	switch c.Contype {
	case pgquery.ConstrType_CONSTR_PRIMARY, pgquery.ConstrType_CONSTR_UNIQUE:
		t.carry(c, "contype", "conname", "location", "keys")
		table.Constraints = append(table.Constraints, ast.Constraint{
			At: t.at(c.Location), Name: c.Conname, Columns: t.names(c.Keys),
			Primary: c.Contype == pgquery.ConstrType_CONSTR_PRIMARY,
		})
	default:
		t.unsupported(constraintFeature(c.Contype))
	}
}

func constraintFeature(c pgquery.ConstrType) string {
	switch c {
	case pgquery.ConstrType_CONSTR_CHECK:
		return "a CHECK constraint"
	case pgquery.ConstrType_CONSTR_FOREIGN:
		return "a FOREIGN KEY constraint"
	case pgquery.ConstrType_CONSTR_EXCLUSION:
		return "an EXCLUDE constraint"
	case pgquery.ConstrType_CONSTR_IDENTITY:
		return "an identity column"
	case pgquery.ConstrType_CONSTR_GENERATED:
		return "a generated column"
	case pgquery.ConstrType_CONSTR_ATTR_DEFERRABLE, pgquery.ConstrType_CONSTR_ATTR_DEFERRED,
		pgquery.ConstrType_CONSTR_ATTR_NOT_DEFERRABLE, pgquery.ConstrType_CONSTR_ATTR_IMMEDIATE:
		return "a deferrable constraint"
	default:
		return "this constraint"
	}
}

func (t *translator) createSchema(s *pgquery.CreateSchemaStmt) *ast.CreateSchema {
	t.carry(s, "schemaname", "if_not_exists")
	return &ast.CreateSchema{Name: s.Schemaname, IfNotExists: s.IfNotExists}
}

func (t *translator) drop(s *pgquery.DropStmt) (ast.Node, ast.Kind) {
	t.carry(s, "objects", "remove_type", "behavior", "missing_ok")
	switch s.RemoveType {
	case pgquery.ObjectType_OBJECT_TABLE:
		return t.dropTable(s), ast.KindDropTable
	case pgquery.ObjectType_OBJECT_SCHEMA:
		cascade := s.Behavior == pgquery.DropBehavior_DROP_CASCADE
		return &ast.DropSchema{Names: t.names(s.Objects), IfExists: s.MissingOk, Cascade: cascade}, ast.KindDropSchema
	}
	t.unsupported("DROP " + words(dropped(s.RemoveType)))
	return nil, ast.KindUnknown
}

func (t *translator) dropTable(s *pgquery.DropStmt) *ast.DropTable {
	out := &ast.DropTable{IfExists: s.MissingOk}
	for _, n := range s.Objects {
		schema, name := t.qualified(t.list(n))
		out.Tables = append(out.Tables, ast.TableName{Schema: schema, Name: name})
	}
	return out
}

func dropped(kind pgquery.ObjectType) string {
	switch kind {
	case pgquery.ObjectType_OBJECT_INDEX:
		return "Index"
	case pgquery.ObjectType_OBJECT_SEQUENCE:
		return "Sequence"
	case pgquery.ObjectType_OBJECT_VIEW:
		return "View"
	case pgquery.ObjectType_OBJECT_TYPE:
		return "Type"
	case pgquery.ObjectType_OBJECT_FUNCTION:
		return "Function"
	case pgquery.ObjectType_OBJECT_TRIGGER:
		return "Trigger"
	case pgquery.ObjectType_OBJECT_EXTENSION:
		return "Extension"
	default:
		return "of this kind of object"
	}
}

func (t *translator) truncate(s *pgquery.TruncateStmt) *ast.Truncate {
	t.carry(s, "relations", "behavior")
	out := &ast.Truncate{}
	for _, n := range s.Relations {
		name, _ := t.rangeVar(n.GetRangeVar())
		out.Tables = append(out.Tables, name)
	}
	return out
}
