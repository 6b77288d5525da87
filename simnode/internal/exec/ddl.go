package exec

import (
	"errors"
	"fmt"
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

func quoteIdent(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

type createTable analyze.CreateTable

func (c *createTable) run(r *run) (string, error) {
	const tag = "CREATE TABLE"
	if _, taken := r.tx.RelationByName(c.Schema, c.Name); taken {
		if c.IfNotExists {
			r.env.notice(sqlerr.New("42P07", "relation \"%s\" already exists, skipping", c.Name))
			return tag, nil
		}
		return "", catalog.Duplicate(c.Name)
	}
	oid, err := r.oid()
	if err != nil {
		return "", err
	}
	t := &catalog.Table{OID: oid, Schema: c.Schema, Name: c.Name, Owner: r.env.User}
	t.Columns = append(t.Columns, c.Columns...)
	var sequences []*catalog.Sequence
	for i := range t.Columns {
		if !c.Serial[i] {
			continue
		}
		s, err := c.sequence(r, t, i)
		if err != nil {
			return "", err
		}
		sequences = append(sequences, s)
	}
	if err := c.indexes(r, t); err != nil {
		return "", err
	}
	for _, s := range sequences {
		if err := r.tx.CreateSequence(r.ctx, s); err != nil {
			return "", err
		}
	}
	return tag, r.tx.CreateTable(r.ctx, t.Seal())
}

// oid draws a fresh OID for a relation.
func (r *run) oid() (uint32, error) {
	if r.env.Sequences == nil {
		return 0, sqlerr.Unsupported("DDL in this context")
	}
	return r.env.Sequences.NextOID(r.ctx)
}

// sequence makes the sequence of a serial column, and ties the column to it.
func (c *createTable) sequence(r *run, t *catalog.Table, i int) (*catalog.Sequence, error) {
	oid, err := r.oid()
	if err != nil {
		return nil, err
	}
	column := &t.Columns[i]
	column.Serial = oid
	_, high := intRange(column.Type)
	return &catalog.Sequence{
		OID: oid, Schema: t.Schema,
		Name: catalog.ChooseName(r.tx, t.Schema, t.Name, column.Name, "seq", nil),
		Type: column.Type, Start: 1, Increment: 1, Min: 1, Max: high, BaseUnit: 1, Base: 1,
		OwnedByTable: t.OID, OwnedByColumn: i, Owner: t.Owner,
	}, nil
}

// indexes makes the indexes of the keys, naming those without a name.
func (c *createTable) indexes(r *run, t *catalog.Table) error {
	taken := map[string]bool{t.Name: true}
	for _, k := range c.Keys {
		oid, err := r.oid()
		if err != nil {
			return err
		}
		name := k.Name
		if name == "" {
			first, second, label := t.Name, "", "pkey"
			if !k.Primary {
				second, label = columnNames(t, k.Columns), "key"
			}
			name = catalog.ChooseName(r.tx, t.Schema, first, second, label, func(s string) bool { return taken[s] })
		} else if taken[name] {
			return catalog.Duplicate(name)
		}
		taken[name] = true
		t.Indexes = append(t.Indexes, catalog.Index{
			OID: oid, Name: name, Columns: k.Columns, Unique: true, Primary: k.Primary,
		})
	}
	return nil
}

func columnNames(t *catalog.Table, columns []int) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = t.Columns[c].Name
	}
	return strings.Join(names, "_")
}

type dropTable analyze.DropTable

func (c *dropTable) run(r *run) (string, error) {
	for _, n := range c.Tables {
		if err := c.one(r, n); err != nil {
			return "", err
		}
	}
	return "DROP TABLE", nil
}

func (c *dropTable) one(r *run, n ast.TableName) error {
	if n.Schema != "" {
		if err := catalog.CheckSchema(r.tx, n.Schema); err != nil {
			if c.IfExists {
				r.env.notice(sqlerr.New("00000", "schema \"%s\" does not exist, skipping", n.Schema))
				return nil
			}
			return err
		}
	}
	t, err := catalog.FindTable(r.tx, r.env.Path, n.Schema, n.Name)
	switch {
	case err != nil:
	case t.Kind() != catalog.KindTable:
		err = sqlerr.New("42809", "\"%s\" is not a table", n.Name)
	case t.System():
		return sqlerr.New("42501", "permission denied: \"%s\" is a system catalog", n.Name)
	default:
		return r.tx.DropRelation(r.ctx, t.OID)
	}
	e := (*sqlerr.Error)(nil)
	if !errors.As(err, &e) {
		return err
	}
	if e.Code != "42P01" {
		return e.WithHint("%s", dropHint(r, n))
	}
	if c.IfExists {
		r.env.notice(sqlerr.New("00000", "table \"%s\" does not exist, skipping", n.Name))
		return nil
	}
	return sqlerr.New("42P01", "table \"%s\" does not exist", n.Name)
}

// dropHint says how to drop what is not a table.
func dropHint(r *run, n ast.TableName) string {
	rel, ok := r.env.Path.Lookup(r.tx, n.Schema, n.Name)
	if !ok {
		return ""
	}
	kind := rel.Kind.String()
	article := "a"
	if rel.Kind == catalog.KindIndex {
		article = "an"
	}
	return fmt.Sprintf("Use DROP %s to remove %s %s.", strings.ToUpper(kind), article, kind)
}

type truncate analyze.Truncate

// run deletes every row. Unlike PostgreSQL's it takes the rows' locks and not the
// table's.
func (c *truncate) run(r *run) (string, error) {
	for _, t := range c.Tables {
		s := &scan{table: t}
		var keys []message.Key
		err := s.rows(r.ctx, r.tx, &r.frame, func(key message.Key, _ types.Row) (bool, error) {
			keys = append(keys, key)
			return true, nil
		})
		if err != nil {
			return "", err
		}
		for _, key := range keys {
			_, ok, err := r.lockRow(s, key, nil, mvcc.LockOptions{Mode: mvcc.ForUpdate, Wait: mvcc.Block})
			if err != nil {
				return "", err
			}
			if !ok {
				continue
			}
			if err := r.tx.Delete(r.ctx, t, key); err != nil {
				return "", err
			}
		}
	}
	return "TRUNCATE TABLE", nil
}
