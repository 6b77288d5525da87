package analyze

import (
	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// clauseDefault marks the scope of a DEFAULT, where columns are not allowed.
const clauseDefault = "DEFAULT expressions"

// maxColumns is PostgreSQL's limit.
const maxColumns = 1600

func (a *analyzer) createTable(n *ast.CreateTable) (*CreateTable, error) {
	out := &CreateTable{Schema: n.Table.Schema, Name: n.Table.Name, IfNotExists: n.IfNotExists}
	if out.Schema == "" {
		if out.Schema = a.Path.Creation(a.Catalog); out.Schema == "" {
			return nil, sqlerr.New("3F000", "no schema has been selected to create in").At(n.Table.Position())
		}
	}
	if err := catalog.CheckSchema(a.Catalog, out.Schema); err != nil {
		return nil, at(err, n.Table.Position())
	}
	if out.Schema == catalog.SchemaCatalog {
		return nil, sqlerr.New("42501", "permission denied to create \"%s.%s\"", out.Schema, out.Name).
			WithDetail("System catalog modifications are currently disallowed.")
	}
	if len(n.Columns) > maxColumns {
		return nil, sqlerr.New("54011", "tables can have at most %d columns", maxColumns)
	}
	for i := range n.Columns {
		if err := a.columnDef(out, &n.Columns[i]); err != nil {
			return nil, err
		}
	}
	for i := range n.Constraints {
		if err := out.addKey(&n.Constraints[i]); err != nil {
			return nil, err
		}
	}
	out.mergeKeys()
	return out, nil
}

func (a *analyzer) columnDef(out *CreateTable, d *ast.ColumnDef) error {
	if _, ok := out.column(d.Name); ok {
		return sqlerr.New("42701", "column \"%s\" specified more than once", d.Name)
	}
	oid, serial := serialType(d.Type)
	typmod := types.NoTypmod
	if !serial {
		var err error
		if oid, typmod, err = a.typeName(d.Type); err != nil {
			return err
		}
	}
	if info, _ := types.Lookup(oid); info.Category == types.CategoryPseudo || oid == types.Unknown {
		return sqlerr.New("42P16", "column \"%s\" has pseudo-type %s", d.Name, nameOf(oid))
	}
	if oid == types.RegclassOID {
		return sqlerr.Unsupported("a column of type regclass").At(d.Type.Position())
	}
	c := catalog.Column{Name: d.Name, Type: oid, TypMod: typmod, NotNull: d.NotNull || serial}
	if serial && d.Null {
		return sqlerr.New("42601", "conflicting NULL/NOT NULL declarations for column \"%s\" of table \"%s\"",
			d.Name, out.Name)
	}
	if serial && d.Default != nil {
		return sqlerr.New("42601", "multiple default values specified for column \"%s\" of table \"%s\"",
			d.Name, out.Name)
	}
	if d.Default != nil {
		if err := a.checkDefault(&c, d.Default); err != nil {
			return err
		}
		c.Default = ast.Format(d.Default)
	}
	out.Columns = append(out.Columns, c)
	out.Serial = append(out.Serial, serial)
	return nil
}

func serialType(n ast.TypeName) (types.OID, bool) {
	if n.Schema != "" {
		return 0, false
	}
	switch n.Name {
	case "serial", "serial4":
		return types.Int4, true
	case "bigserial", "serial8":
		return types.Int8, true
	case "smallserial", "serial2":
		return types.Int2, true
	}
	return 0, false
}

func (a *analyzer) checkDefault(c *catalog.Column, e ast.Expr) error {
	s := &scope{analyzer: a, clause: clauseDefault}
	x, err := s.expr(e)
	if err != nil {
		return err
	}
	if !canCoerce(x.Type(), c.Type, types.Assignment) {
		return sqlerr.New("42804", "column \"%s\" is of type %s but default expression is of type %s",
			c.Name, nameOf(c.Type), nameOf(x.Type())).
			WithHint("You will need to rewrite or cast the expression.")
	}
	_, err = a.coerce(x, c.Type, types.Assignment, ast.Locate(e))
	return err
}

func (c *CreateTable) column(name string) (int, bool) {
	for i := range c.Columns {
		if c.Columns[i].Name == name {
			return i, true
		}
	}
	return 0, false
}

func (c *CreateTable) addKey(k *ast.Constraint) error {
	def := KeyDef{Name: k.Name, Primary: k.Primary}
	if k.Primary {
		for _, have := range c.Keys {
			if have.Primary {
				return sqlerr.New("42P16", "multiple primary keys for table \"%s\" are not allowed", c.Name).At(k.Position())
			}
		}
	}
	for _, name := range k.Columns {
		i, ok := c.column(name)
		if !ok {
			return sqlerr.New("42703", "column \"%s\" named in key does not exist", name).At(k.Position())
		}
		for _, have := range def.Columns {
			if have == i {
				kind := "unique"
				if k.Primary {
					kind = "primary key"
				}
				return sqlerr.New("42701", "column \"%s\" appears twice in %s constraint", name, kind).At(k.Position())
			}
		}
		def.Columns = append(def.Columns, i)
		if k.Primary {
			c.Columns[i].NotNull = true
		}
	}
	c.Keys = append(c.Keys, def)
	return nil
}

// mergeKeys puts the primary key first and drops constraints that repeat another,
// as in "int UNIQUE PRIMARY KEY".
func (c *CreateTable) mergeKeys() {
	var out []KeyDef
	for _, primary := range []bool{true, false} {
		for _, k := range c.Keys {
			if k.Primary != primary {
				continue
			}
			if i := sameKey(out, k); i >= 0 {
				if out[i].Name == "" {
					out[i].Name = k.Name
				}
				continue
			}
			out = append(out, k)
		}
	}
	c.Keys = out
}

func sameKey(keys []KeyDef, k KeyDef) int {
	for i, have := range keys {
		if len(have.Columns) != len(k.Columns) {
			continue
		}
		same := true
		for j := range have.Columns {
			same = same && have.Columns[j] == k.Columns[j]
		}
		if same {
			return i
		}
	}
	return -1
}

func (a *analyzer) truncate(n *ast.Truncate) (*Truncate, error) {
	out := &Truncate{}
	for _, name := range n.Tables {
		if name.Schema != "" {
			if err := catalog.CheckSchema(a.Catalog, name.Schema); err != nil {
				return nil, err
			}
		}
		t, err := a.table(ast.TableName{Schema: name.Schema, Name: name.Name})
		switch {
		case err != nil:
			return nil, err
		case t.Kind() != catalog.KindTable:
			return nil, sqlerr.New("42809", "\"%s\" is not a table", t.Name)
		case t.System():
			return nil, sqlerr.New("42501", "permission denied: \"%s\" is a system catalog", t.Name)
		}
		out.Tables = append(out.Tables, t)
	}
	return out, nil
}
