package catalog

import (
	"fmt"
	"slices"
)

// Role is a role of the database, as pg_roles shows it.
type Role struct {
	OID   uint32
	Name  string
	Super bool
	Login bool
}

// Bootstrap is the role that owns what nobody else does.
const (
	Bootstrap           = "postgres"
	bootstrapOID uint32 = 10
	// publicOwner owns the schema public, as since PostgreSQL 15.
	publicOwner = "pg_database_owner"
)

// Roles gives the roles of a database: the bootstrap role, those that PostgreSQL 15
// brings along, and the ones named, in the order of their names. The cluster checks
// no permissions, so whoever can log in is a superuser, as is_superuser says too.
func Roles(names []string) []Role {
	roles := []Role{
		{OID: bootstrapOID, Name: Bootstrap, Super: true, Login: true},
		{OID: 3373, Name: "pg_monitor"},
		{OID: 3374, Name: "pg_read_all_settings"},
		{OID: 3375, Name: "pg_read_all_stats"},
		{OID: 3377, Name: "pg_stat_scan_tables"},
		{OID: 4200, Name: "pg_signal_backend"},
		{OID: 4544, Name: "pg_checkpoint"},
		{OID: 4569, Name: "pg_read_server_files"},
		{OID: 4570, Name: "pg_write_server_files"},
		{OID: 4571, Name: "pg_execute_server_program"},
		{OID: 6171, Name: publicOwner},
		{OID: 6181, Name: "pg_read_all_data"},
		{OID: 6182, Name: "pg_write_all_data"},
	}
	oid := FirstUserOID
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		if name != Bootstrap {
			roles = append(roles, Role{OID: oid, Name: name, Super: true, Login: true})
			oid++
		}
	}
	return roles
}

// RoleName is pg_get_userbyid().
func RoleName(roles []Role, oid uint32) string {
	for _, r := range roles {
		if r.OID == oid {
			return r.Name
		}
	}
	return fmt.Sprintf("unknown (OID=%d)", oid)
}

// roleOID finds a role by its name. What has no owner, or one that is no more, is
// the bootstrap role's.
func roleOID(roles []Role, name string) uint32 {
	for _, r := range roles {
		if r.Name == name {
			return r.OID
		}
	}
	return bootstrapOID
}
