package types

import (
	"fmt"
	"time"

	"github.com/cockroachdb/apd/v3"
)

// FormatText gives the text form of a value as PostgreSQL's output function does,
// with times in the zone of loc (nil is UTC). NULL and a value that does not fit
// its OID give "".
func FormatText(oid OID, d Datum, loc *time.Location) string {
	if s, ok := d.(string); ok && oid != CharOID {
		return s
	}
	b, err := AppendText(nil, oid, d, loc)
	if err != nil {
		return ""
	}
	return string(b)
}

// AppendText appends the text form of a value that is not NULL. The error says
// which OID and Go type did not fit; it is a defect of the caller, never a user's.
func AppendText(buf []byte, oid OID, d Datum, loc *time.Location) ([]byte, error) {
	switch v := d.(type) {
	case string:
		if oid == CharOID {
			return appendChar(buf, v), nil
		}
		return append(buf, v...), nil
	case int16, int32, int64, uint32:
		return appendInt(buf, d), nil
	case float64:
		return appendFloat(buf, v), nil
	case *apd.Decimal:
		return appendNumeric(buf, v), nil
	case bool:
		if v {
			return append(buf, 't'), nil
		}
		return append(buf, 'f'), nil
	case []byte:
		return appendBytea(buf, v), nil
	case time.Time:
		if loc == nil {
			loc = time.UTC
		}
		return appendTimestamptz(buf, v, loc), nil
	case Date:
		return appendDate(buf, v), nil
	case [16]byte:
		return appendUUID(buf, v), nil
	case Regclass:
		return append(buf, v.Name...), nil
	case Void:
		return buf, nil
	}
	return buf, fmt.Errorf("types: no text form of %T as %s", d, FormatType(oid, NoTypmod))
}
