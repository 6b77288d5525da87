package dsn

import (
	"errors"
	"reflect"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errRole is the answer to a target_session_attrs that isn't implemented: a
// cluster that must take no writes needs another interface than this one.
var errRole = errors.New("dsn: the value of target_session_attrs is unknown; allowed are any, read-write, primary, prefer-standby")

// errTwoRoles is the answer to a target_session_attrs that read_from contradicts.
var errTwoRoles = errors.New("dsn: target_session_attrs and read_from contradict each other; read_from says enough")

// takeRole translates target_session_attrs, which chooses one server for a
// connection, into read_from, which chooses one for each operation. any says
// nothing.
func (b *builder) takeRole(all *pgx.ConnConfig) error {
	if all.ValidateConnect == nil {
		return nil
	}
	meant := ""
	for _, known := range []struct {
		check    pgconn.ValidateConnectFunc
		readFrom string
	}{
		{pgconn.ValidateConnectTargetSessionAttrsReadWrite, ReadFromWriters},
		{pgconn.ValidateConnectTargetSessionAttrsPrimary, ReadFromWriters},
		{pgconn.ValidateConnectTargetSessionAttrsPreferStandby, ReadFromPreferReplicas},
	} {
		// pgx keeps the function only, not the name.
		if reflect.ValueOf(all.ValidateConnect).Pointer() == reflect.ValueOf(known.check).Pointer() {
			meant = known.readFrom
		}
	}
	if meant == "" {
		return errRole
	}
	if before, given := b.given["read_from"]; given && before != meant {
		return errTwoRoles
	}
	b.given["read_from"] = meant
	return nil
}
