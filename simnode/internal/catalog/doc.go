// Package catalog describes the relations of the simulated database: schemas, tables
// with their columns and indexes, and sequences.
//
// A descriptor is a row of the system table "relations" (fixed OIDs, below
// FirstUserOID), so DDL is versioned, certified, logged and rolled back like any
// other write; package mvcc stores those rows and keeps them decoded. This package
// owns the descriptors, their row form, name rules, the search path and the errors of
// a lookup, and makes the rows of pg_class and its kin out of descriptors.
// It never reads or writes a store itself: a Reader is passed in.
//
// Open relation.go first, then system.go, schema.go and lookup.go; pgcatalog.go for
// what queries can read.
package catalog
