package types

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/apd/v3"
)

var errShortRow = errors.New("types: encoded row ends early")

// EncodeRow gives the row form of commit records: a NULL bitmap, then each value
// that is not NULL; integers as varints, strings with their length. Equal rows give
// equal bytes; the scale of a numeric is kept. A datum that does not fit its OID is
// a defect of the caller and panics.
func EncodeRow(row Row, oids []OID) []byte {
	buf := make([]byte, (len(oids)+7)/8, 16+8*len(oids))
	for i, d := range row {
		if d == nil {
			buf[i/8] |= 1 << (i % 8)
		}
	}
	for _, d := range row {
		if d != nil {
			buf = appendValue(buf, d)
		}
	}
	return buf
}

func appendValue(buf []byte, d Datum) []byte {
	switch v := d.(type) {
	case int16, int32, int64, uint32:
		return binary.AppendVarint(buf, toInt64(d))
	case string:
		buf = binary.AppendUvarint(buf, uint64(len(v)))
		return append(buf, v...)
	case []byte:
		buf = binary.AppendUvarint(buf, uint64(len(v)))
		return append(buf, v...)
	case float64:
		return binary.BigEndian.AppendUint64(buf, math.Float64bits(v))
	case *apd.Decimal:
		number := appendNumericBinary(nil, v)
		buf = binary.AppendUvarint(buf, uint64(len(number)))
		return append(buf, number...)
	case bool:
		if v {
			return append(buf, 1)
		}
		return append(buf, 0)
	case time.Time:
		return binary.AppendVarint(buf, Micros(v))
	case Date:
		return binary.AppendVarint(buf, int64(v))
	case [16]byte:
		return append(buf, v[:]...)
	case Void:
		return buf
	}
	panic(fmt.Sprintf("types: cannot encode %T", d))
}

// DecodeRow is the inverse of EncodeRow for the same types. It never keeps b. An
// error means that the bytes are not a row of these types.
func DecodeRow(b []byte, oids []OID) (Row, error) {
	size := (len(oids) + 7) / 8
	if len(b) < size {
		return nil, errShortRow
	}
	nulls, rest := b[:size], b[size:]
	row := make(Row, len(oids))
	var err error
	for i, oid := range oids {
		if nulls[i/8]&(1<<(i%8)) != 0 {
			continue
		}
		if row[i], rest, err = readValue(rest, oid); err != nil {
			return nil, err
		}
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("types: %d bytes left after a row of %d columns", len(rest), len(oids))
	}
	return row, nil
}

func readValue(b []byte, oid OID) (Datum, []byte, error) {
	switch oid {
	case Int2, Int4, Int8, OidOID, DateOID, Timestamptz:
		v, n := binary.Varint(b)
		if n <= 0 {
			return nil, nil, errShortRow
		}
		return integerValue(v, oid), b[n:], nil
	case Text, Varchar, Name, Unknown, CharOID, Bytea, Numeric:
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return nil, nil, errShortRow
		}
		value, rest := b[k:k+int(n)], b[k+int(n):]
		switch oid {
		case Bytea:
			return append([]byte{}, value...), rest, nil
		case Numeric:
			d, err := decodeNumericBinary(value)
			return d, rest, err
		}
		return string(value), rest, nil
	case Float8:
		if len(b) < 8 {
			return nil, nil, errShortRow
		}
		return math.Float64frombits(binary.BigEndian.Uint64(b)), b[8:], nil
	case Bool:
		if len(b) < 1 {
			return nil, nil, errShortRow
		}
		return b[0] != 0, b[1:], nil
	case UUID:
		if len(b) < 16 {
			return nil, nil, errShortRow
		}
		return [16]byte(b), b[16:], nil
	case VoidOID:
		return Void{}, b, nil
	}
	return nil, nil, fmt.Errorf("types: no row form for type %d", oid)
}

func integerValue(v int64, oid OID) Datum {
	switch oid {
	case Int2:
		return int16(v)
	case Int4:
		return int32(v)
	case OidOID:
		return uint32(v)
	case DateOID:
		return Date(v)
	case Timestamptz:
		return FromMicros(v)
	}
	return v
}
