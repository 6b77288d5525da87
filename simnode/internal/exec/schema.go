package exec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

type createSchema analyze.CreateSchema

func (c *createSchema) run(r *run) (string, error) {
	const tag = "CREATE SCHEMA"
	if strings.HasPrefix(c.Name, "pg_") {
		return "", sqlerr.New("42939", "unacceptable schema name \"%s\"", c.Name).
			WithDetail("The prefix \"pg_\" is reserved for system schemas.")
	}
	if _, taken := catalog.FindSchema(r.tx, c.Name); taken {
		if c.IfNotExists {
			r.env.notice(sqlerr.New("42P06", "schema \"%s\" already exists, skipping", c.Name))
			return tag, nil
		}
		return "", catalog.DuplicateSchema(c.Name)
	}
	oid, err := r.oid()
	if err != nil {
		return "", err
	}
	return tag, r.tx.CreateSchema(r.ctx, &catalog.Schema{OID: oid, Name: c.Name, Owner: r.env.User})
}

type dropSchema analyze.DropSchema

// run looks at all schemas before it drops anything, as PostgreSQL does.
func (c *dropSchema) run(r *run) (string, error) {
	const tag = "DROP SCHEMA"
	schemas, err := c.find(r)
	if err != nil {
		return "", err
	}
	for _, s := range schemas {
		if s.Name == catalog.SchemaCatalog {
			return "", sqlerr.New("2BP01", "cannot drop schema %s because it is required by the database system", s.Name)
		}
		if err := r.tx.LockSchema(r.ctx, s); err != nil {
			return "", err
		}
	}
	inside := c.inside(r, schemas)
	if len(inside) > 0 && !c.Cascade {
		return "", c.refuse(r, schemas, inside)
	}
	c.tell(r, inside)
	for _, rel := range inside {
		if err := r.tx.DropRelation(r.ctx, rel.OID); err != nil {
			return "", err
		}
	}
	for _, s := range schemas {
		if err := r.tx.DropRelation(r.ctx, s.OID); err != nil {
			return "", err
		}
	}
	return tag, nil
}

// find gives the schemas that are there, each once.
func (c *dropSchema) find(r *run) ([]*catalog.Schema, error) {
	var out []*catalog.Schema
	for _, name := range c.Names {
		s, ok := catalog.FindSchema(r.tx, name)
		switch {
		case ok && !slices.ContainsFunc(out, func(have *catalog.Schema) bool { return have.OID == s.OID }):
			out = append(out, s)
		case ok:
		case c.IfExists:
			r.env.notice(sqlerr.New("00000", "schema \"%s\" does not exist, skipping", name))
		default:
			return nil, catalog.UndefinedSchema(name)
		}
	}
	return out, nil
}

// inside gives what goes with the schemas, in the order in which PostgreSQL tells of
// it: the last schema's first, and within a schema the oldest first. What belongs to
// a table goes with the table.
func (c *dropSchema) inside(r *run, schemas []*catalog.Schema) []*catalog.Relation {
	var out []*catalog.Relation
	all := r.tx.Relations()
	slices.SortFunc(all, func(a, b *catalog.Relation) int { return cmp.Compare(a.OID, b.OID) })
	for _, s := range slices.Backward(schemas) {
		for _, rel := range all {
			alone := rel.Kind == catalog.KindTable || rel.Kind == catalog.KindSequence && rel.Sequence.OwnedByTable == 0
			if rel.Schema == s.Name && alone {
				out = append(out, rel)
			}
		}
	}
	return out
}

// maxDependents is how many objects a message about dependencies lists, as
// PostgreSQL's MAX_REPORTED_DEPS.
const maxDependents = 100

// refuse is 2BP01 for schemas that are not empty.
func (c *dropSchema) refuse(r *run, schemas []*catalog.Schema, inside []*catalog.Relation) error {
	err := sqlerr.New("2BP01", "cannot drop desired object(s) because other objects depend on them")
	if len(schemas) == 1 {
		err = sqlerr.New("2BP01", "cannot drop schema %s because other objects depend on it", schemas[0].Name)
	}
	lines := dependents(r, inside, func(what string, rel *catalog.Relation) string {
		return fmt.Sprintf("%s depends on schema %s", what, rel.Schema)
	})
	return err.WithDetail("%s", lines).WithHint("Use DROP ... CASCADE to drop the dependent objects too.")
}

// tell sends the notice of what CASCADE takes along.
func (c *dropSchema) tell(r *run, inside []*catalog.Relation) {
	switch len(inside) {
	case 0:
	case 1:
		r.env.notice(sqlerr.New("00000", "drop cascades to %s", r.env.Path.Describe(r.tx, inside[0])))
	default:
		lines := dependents(r, inside, func(what string, _ *catalog.Relation) string { return "drop cascades to " + what })
		r.env.notice(sqlerr.New("00000", "drop cascades to %d other objects", len(inside)).WithDetail("%s", lines))
	}
}

// dependents writes a line for each relation, up to the limit.
func dependents(r *run, rels []*catalog.Relation, line func(what string, rel *catalog.Relation) string) string {
	var lines []string
	for _, rel := range rels[:min(len(rels), maxDependents)] {
		lines = append(lines, line(r.env.Path.Describe(r.tx, rel), rel))
	}
	switch more := len(rels) - len(lines); more {
	case 0:
	case 1:
		lines = append(lines, "and 1 other object (see server log for list)")
	default:
		lines = append(lines, fmt.Sprintf("and %d other objects (see server log for list)", more))
	}
	return strings.Join(lines, "\n")
}
