package types

import (
	"bytes"
	"cmp"
	"strings"
	"time"

	"github.com/cockroachdb/apd/v3"
)

// Compare orders two values of one type as its btree does, in collation "C"; NULL
// comes last and equals NULL. The result is negative, 0 or positive. Values of
// types without an order (void) are equal.
func Compare(a, b Datum, oid OID) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	switch x := a.(type) {
	case int32:
		return cmp.Compare(x, b.(int32))
	case int64:
		return cmp.Compare(x, b.(int64))
	case string:
		return strings.Compare(x, b.(string))
	case int16:
		return cmp.Compare(x, b.(int16))
	case uint32:
		return cmp.Compare(x, b.(uint32))
	case float64:
		return compareFloat(x, b.(float64))
	case *apd.Decimal:
		return CompareNumeric(x, b.(*apd.Decimal))
	case bool:
		return compareBool(x, b.(bool))
	case []byte:
		return bytes.Compare(x, b.([]byte))
	case time.Time:
		return x.Compare(b.(time.Time))
	case Date:
		return cmp.Compare(x, b.(Date))
	case Regclass:
		return cmp.Compare(x.OID, b.(Regclass).OID)
	case [16]byte:
		y := b.([16]byte)
		return bytes.Compare(x[:], y[:])
	}
	return 0
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
