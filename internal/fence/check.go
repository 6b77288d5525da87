package fence

import "fmt"

// UUIDOID and BoolOID are the types of the fence table's columns.
const (
	UUIDOID = 2950
	BoolOID = 16
)

// Relation is what the catalog says about the fence table. Columns and Unique
// may be in any order.
type Relation struct {
	// Found is false if there is no such relation.
	Found bool
	// Kind is pg_class.relkind, Persistence relpersistence.
	Kind, Persistence string
	// Rules, Triggers and RowSecurity are relhasrules, relhastriggers and
	// relrowsecurity.
	Rules, Triggers, RowSecurity bool
	// Owner owns the table, SchemaOwner its schema.
	Owner, SchemaOwner Role
	// Columns are the table's columns.
	Columns []Column
	// UniqueOnID is true if id alone is the key of a unique index that is valid,
	// total and checked at once.
	UniqueOnID bool
}

// Role is an owner.
type Role struct {
	Name string
	// Trusted is true for the session's own role, a superuser, and the owner of
	// the database: whoever these are can do worse than spoil a fence.
	Trusted bool
}

// Column is one column of a table.
type Column struct {
	Name    string
	TypeOID uint32
	NotNull bool
	Default bool
}

// Check returns why a relation can't be trusted as a fence table, or nil. owner
// is a further role that is trusted, or "".
func (r Relation) Check(owner string) error {
	trusted := func(role Role) bool { return role.Trusted || owner != "" && role.Name == owner }
	switch {
	case !r.Found:
		return fmt.Errorf("it doesn't exist; `anywriter fence install` makes it")
	case r.Kind != "r":
		return fmt.Errorf("it is no ordinary table (relkind %s)", r.Kind)
	case r.Persistence != "p":
		return fmt.Errorf("it is unlogged or temporary (relpersistence %s), so a crash would forget decisions", r.Persistence)
	case !trusted(r.Owner):
		return fmt.Errorf("it belongs to role %s, which is neither this session's role nor a superuser nor the database's owner; "+
			"fence_owner=%s accepts it", r.Owner.Name, r.Owner.Name)
	case !trusted(r.SchemaOwner):
		return fmt.Errorf("its schema belongs to role %s, which is neither this session's role nor a superuser nor the database's owner; "+
			"fence_owner=%s accepts it", r.SchemaOwner.Name, r.SchemaOwner.Name)
	case r.Rules:
		return fmt.Errorf("it has rules, which could swallow a row")
	case r.RowSecurity:
		return fmt.Errorf("it has row security, which could hide a row")
	}
	if err := r.checkColumns(); err != nil {
		return err
	}
	switch {
	case !r.UniqueOnID:
		return fmt.Errorf("column id isn't the key of a valid, immediate, total unique index of its own")
	case r.Triggers: // last, because a deferred key is a trigger too
		return fmt.Errorf("it has triggers, which could swallow a row")
	default:
		return nil
	}
}

func (r Relation) checkColumns() error {
	var id, aborted *Column
	for i, c := range r.Columns {
		switch {
		case c.Name == "id":
			id = &r.Columns[i]
		case c.Name == "aborted":
			aborted = &r.Columns[i]
		case c.NotNull && !c.Default:
			return fmt.Errorf("column %s takes no NULL and has no default", c.Name)
		}
	}
	switch {
	case id == nil || id.TypeOID != UUIDOID || !id.NotNull:
		return fmt.Errorf("it has no column id of type uuid not null")
	case aborted == nil || aborted.TypeOID != BoolOID || !aborted.NotNull:
		return fmt.Errorf("it has no column aborted of type boolean not null")
	}
	return nil
}
