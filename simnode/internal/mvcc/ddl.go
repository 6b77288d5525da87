package mvcc

import (
	"context"
	"errors"
	"fmt"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/index"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

var _ catalog.Reader = (*Txn)(nil)

// RelationByOID finds a descriptor as the transaction sees it: its own DDL, even of
// the running command, else its snapshot.
func (t *Txn) RelationByOID(oid uint32) (*catalog.Relation, bool) {
	td := t.store.table(oid)
	if td == nil || td.descriptor == nil {
		return t.relationByKey(relationKey(oid))
	}
	if own := t.writes[catalog.RelationsOID]; own != nil {
		if r, ok := own.rows.Get(td.descriptor.key); ok {
			return r.latest().rel, r.latest().rel != nil
		}
	}
	if v := td.descriptor.at(t.snapshot); v != nil {
		return v.rel, true
	}
	return nil, false
}

func relationKey(oid uint32) message.Key {
	tuple := index.AppendDatum(nil, types.OidOID, oid)
	return index.Key(catalog.RelationsOID, catalog.RelationsPKeyOID, tuple)
}

func (t *Txn) relationByKey(key message.Key) (*catalog.Relation, bool) {
	if r := t.ownRowOf(catalog.RelationsOID, key); r != nil {
		return r.latest().rel, r.latest().rel != nil
	}
	entry := t.store.table(catalog.RelationsOID).find(key)
	if entry == nil {
		return nil, false
	}
	if v := entry.at(t.snapshot); v != nil {
		return v.rel, true
	}
	return nil, false
}

// RelationByName finds a descriptor by its name, as RelationByOID does.
func (t *Txn) RelationByName(schema, name string) (*catalog.Relation, bool) {
	tuple := index.AppendDatum(make([]byte, 0, 64), types.Text, schema)
	tuple = index.AppendDatum(tuple, types.Text, name)
	prefix := index.Prefix(tuple)
	bounds := span[string]{from: string(prefix.From), to: string(prefix.To)}
	own := ownEntryCursor(t.own(catalog.RelationsOID), 0, bounds)
	for o := own.next(); o != nil; o = own.next() {
		if rel := o.value.row.latest().rel; rel != nil && rel.Schema == schema && rel.Name == name {
			return rel, true
		}
	}
	committed := entryCursor(t.store.table(catalog.RelationsOID), 0, bounds)
	for c := committed.next(); c != nil; c = committed.next() {
		entry := c.value.row
		if t.ownRowOf(catalog.RelationsOID, entry.key) != nil {
			continue
		}
		if v := entry.at(t.snapshot); v != nil && v.rel.Schema == schema && v.rel.Name == name {
			return v.rel, true
		}
	}
	return nil, false
}

// Relations gives every descriptor that the transaction sees, by OID.
func (t *Txn) Relations() []*catalog.Relation {
	var list []*catalog.Relation
	system := catalog.Relations()
	for key, row := range t.Scan(system, false) {
		if rel, ok := t.relationByKey(key); ok && row != nil {
			list = append(list, rel)
		}
	}
	return list
}

// createRelation stores a new descriptor; a taken name is duplicate, a schema that
// is gone 3F000.
func (t *Txn) createRelation(ctx context.Context, rel *catalog.Relation, duplicate error) error {
	if err := t.writable(); err != nil {
		return err
	}
	if _, taken := t.RelationByName(rel.Schema, rel.Name); taken {
		return duplicate
	}
	row, err := catalog.EncodeRelation(rel)
	if err != nil {
		return err
	}
	// The stored descriptor is decoded from the row, so that what this transaction
	// sees is what every node will.
	stored, err := catalog.DecodeRelation(row)
	if err != nil {
		return err
	}
	mark := t.Savepoint()
	if rel.Kind != catalog.KindSchema {
		err = t.holdSchema(ctx, rel.Schema)
	}
	if err == nil {
		_, err = t.insert(ctx, catalog.Relations(), row, ownState{row: row, rel: stored}, nil)
	}
	if err == nil {
		return nil
	}
	t.RollbackTo(mark)
	var taken *UniqueViolation
	if errors.As(err, &taken) {
		return duplicate
	}
	return err
}

// holdSchema keeps a schema from being dropped, here and by any other node, until
// what is being made in it has committed.
func (t *Txn) holdSchema(ctx context.Context, name string) error {
	rel, ok := t.RelationByName("", name)
	if !ok {
		return catalog.UndefinedSchema(name)
	}
	got, err := t.LockRow(ctx, catalog.Relations(), relationKey(rel.OID), LockOptions{Mode: ForKeyShare})
	if err != nil {
		return err
	}
	if got.State == Gone {
		return catalog.UndefinedSchema(name)
	}
	return nil
}

// CreateSchema stores a schema's descriptor. The OID is the caller's to choose. A
// taken name is 42P06.
func (t *Txn) CreateSchema(ctx context.Context, s *catalog.Schema) error {
	return t.createRelation(ctx, s.Relation(), catalog.DuplicateSchema(s.Name))
}

// LockSchema keeps everybody from making anything in a schema until this transaction
// has dropped it. In READ COMMITTED the statement sees from here on what was
// committed before the lock: what the schema holds, it finds after this. That is
// rule 2 of docs/protocol.md for the key of a parent. A schema that is gone is 3F000.
func (t *Txn) LockSchema(ctx context.Context, s *catalog.Schema) error {
	if err := t.writable(); err != nil {
		return err
	}
	got, err := t.LockRow(ctx, catalog.Relations(), relationKey(s.OID), LockOptions{Mode: ForUpdate})
	if err != nil {
		return err
	}
	if got.State == Gone {
		return catalog.UndefinedSchema(s.Name)
	}
	if t.iso == ReadCommitted {
		t.SetSnapshot(t.appliedNow())
	}
	return nil
}

// CreateTable stores a table's descriptor and the names of its indexes. OIDs and
// names are the caller's to choose. It fails with 42P07 for a taken name; then, and
// after any other error, nothing of it remains.
func (t *Txn) CreateTable(ctx context.Context, table *catalog.Table) error {
	mark := t.Savepoint()
	err := t.createRelation(ctx, &catalog.Relation{
		OID: table.OID, Schema: table.Schema, Name: table.Name, Kind: catalog.KindTable, Table: table,
	}, catalog.Duplicate(table.Name))
	for i := 0; err == nil && i < len(table.Indexes); i++ {
		ix := &table.Indexes[i]
		err = t.createRelation(ctx, &catalog.Relation{
			OID: ix.OID, Schema: table.Schema, Name: ix.Name, Kind: catalog.KindIndex, IndexOf: table.OID,
		}, catalog.Duplicate(ix.Name))
	}
	if err != nil {
		t.RollbackTo(mark)
	}
	return err
}

// CreateSequence stores a sequence's descriptor, as CreateTable does.
func (t *Txn) CreateSequence(ctx context.Context, s *catalog.Sequence) error {
	return t.createRelation(ctx, &catalog.Relation{
		OID: s.OID, Schema: s.Schema, Name: s.Name, Kind: catalog.KindSequence, Sequence: s,
	}, catalog.Duplicate(s.Name))
}

// ReplaceSequence stores a changed descriptor of a sequence, such as setval makes.
func (t *Txn) ReplaceSequence(ctx context.Context, s *catalog.Sequence) error {
	rel := &catalog.Relation{OID: s.OID, Schema: s.Schema, Name: s.Name, Kind: catalog.KindSequence, Sequence: s}
	row, err := catalog.EncodeRelation(rel)
	if err != nil {
		return err
	}
	if err := t.lockRelation(ctx, s.OID); err != nil {
		return err
	}
	stored, err := catalog.DecodeRelation(row)
	if err != nil {
		return err
	}
	_, err = t.update(ctx, catalog.Relations(), relationKey(s.OID), ownState{row: row, rel: stored})
	return err
}

// lockRelation locks a descriptor for a change.
func (t *Txn) lockRelation(ctx context.Context, oid uint32) error {
	if err := t.writable(); err != nil {
		return err
	}
	key := relationKey(oid)
	if r := t.ownRowOf(catalog.RelationsOID, key); r != nil {
		return nil
	}
	got, err := t.LockRow(ctx, catalog.Relations(), key, LockOptions{Mode: ForUpdate})
	if err != nil {
		return err
	}
	if got.State != Unchanged {
		return t.errSerialize(key, 0)
	}
	return nil
}

// DropRelation removes a table with its indexes and the sequences that its columns
// own, a sequence, or a schema, which must be locked (LockSchema) and empty. The
// rows of a table go when no snapshot can see them.
func (t *Txn) DropRelation(ctx context.Context, oid uint32) error {
	rel, ok := t.RelationByOID(oid)
	if !ok {
		return fmt.Errorf("mvcc: no relation with OID %d", oid)
	}
	if rel.Kind == catalog.KindTable {
		for i := range rel.Table.Indexes {
			if err := t.dropOne(ctx, rel.Table.Indexes[i].OID); err != nil {
				return err
			}
		}
		for _, c := range rel.Table.Columns {
			if _, ok := t.RelationByOID(c.Serial); c.Serial == 0 || !ok {
				continue
			}
			if err := t.dropOne(ctx, c.Serial); err != nil {
				return err
			}
		}
	}
	return t.dropOne(ctx, oid)
}

func (t *Txn) dropOne(ctx context.Context, oid uint32) error {
	if err := t.lockRelation(ctx, oid); err != nil {
		return err
	}
	return t.Delete(ctx, catalog.Relations(), relationKey(oid))
}
