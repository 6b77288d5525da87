// Package catalog describes the relations of the simulated database: tables with
// their columns and indexes, and sequences.
//
// A descriptor is a row of the system table "relations" (fixed OIDs, below
// FirstUserOID), so DDL is versioned, certified, logged and rolled back like any
// other write; package mvcc stores those rows and keeps them decoded. This package
// owns the descriptors, their row form, name rules and the errors of a lookup.
// It never reads or writes a store itself: a Reader is passed in.
//
// Open relation.go first, then system.go and lookup.go.
package catalog
