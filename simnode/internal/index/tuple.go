package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/types"
	"github.com/cockroachdb/apd/v3"
)

// Every column starts with a marker, so that NULL sorts after every value.
const (
	markerValue = 0x01
	markerNull  = 0xFE
)

var errBadTuple = errors.New("index: malformed tuple")

// AppendDatum appends the encoding of one column. Two encodings of one type
// compare, byte by byte, as types.Compare does; none is a prefix of another, so
// encodings can be joined. A datum that does not fit its OID is a defect of the
// caller and panics.
func AppendDatum(buf []byte, oid types.OID, d types.Datum) []byte {
	if d == nil {
		return append(buf, markerNull)
	}
	buf = append(buf, markerValue)
	switch v := d.(type) {
	case int32:
		return binary.BigEndian.AppendUint32(buf, uint32(v)^1<<31)
	case int64:
		return binary.BigEndian.AppendUint64(buf, uint64(v)^1<<63)
	case string:
		return appendEscaped(buf, v)
	case int16:
		return binary.BigEndian.AppendUint16(buf, uint16(v)^1<<15)
	case uint32:
		return binary.BigEndian.AppendUint32(buf, v)
	case types.Date:
		return binary.BigEndian.AppendUint32(buf, uint32(v)^1<<31)
	case time.Time:
		return binary.BigEndian.AppendUint64(buf, uint64(types.Micros(v))^1<<63)
	case float64:
		return binary.BigEndian.AppendUint64(buf, floatBits(v))
	case bool:
		if v {
			return append(buf, 1)
		}
		return append(buf, 0)
	case []byte:
		return appendEscaped(buf, string(v))
	case [16]byte:
		return append(buf, v[:]...)
	case *apd.Decimal:
		return appendNumeric(buf, v)
	}
	panic(fmt.Sprintf("index: cannot encode %T as type %d", d, oid))
}

// floatBits makes unsigned integers of floats in their order: -0 counts as 0, and
// NaN is above everything.
func floatBits(f float64) uint64 {
	if f == 0 {
		f = 0
	}
	if math.IsNaN(f) {
		return math.MaxUint64
	}
	bits := math.Float64bits(f)
	if bits>>63 == 1 {
		return ^bits
	}
	return bits | 1<<63
}

func floatFromBits(u uint64) float64 {
	switch {
	case u == math.MaxUint64:
		return math.NaN()
	case u>>63 == 1:
		return math.Float64frombits(u &^ (1 << 63))
	}
	return math.Float64frombits(^u)
}

// appendEscaped writes the bytes, 0x00 as 0x00 0xFF, and ends with 0x00 0x01.
func appendEscaped(buf []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		buf = append(buf, s[i])
		if s[i] == 0 {
			buf = append(buf, 0xFF)
		}
	}
	return append(buf, 0x00, 0x01)
}

func readEscaped(b []byte) (value, rest []byte, err error) {
	for i := 0; i+1 < len(b); i++ {
		if b[i] != 0 {
			value = append(value, b[i])
			continue
		}
		switch b[i+1] {
		case 0x01:
			return value, b[i+2:], nil
		case 0xFF:
			value = append(value, 0)
			i++
		default:
			return nil, nil, errBadTuple
		}
	}
	return nil, nil, errBadTuple
}

// DecodeDatum reads one column back and returns what follows it. A numeric loses
// its trailing zeros, a float its negative zero: equal values have equal keys.
func DecodeDatum(b []byte, oid types.OID) (d types.Datum, rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil, errBadTuple
	}
	marker, b := b[0], b[1:]
	if marker == markerNull {
		return nil, b, nil
	}
	if marker != markerValue {
		return nil, nil, errBadTuple
	}
	switch oid {
	case types.Text, types.Varchar, types.Name, types.Unknown, types.CharOID, types.Bytea:
		value, rest, err := readEscaped(b)
		if err != nil {
			return nil, nil, err
		}
		if oid == types.Bytea {
			return append([]byte{}, value...), rest, nil
		}
		return string(value), rest, nil
	case types.Numeric:
		return readNumeric(b)
	}
	info, ok := types.Lookup(oid)
	if !ok || info.Length <= 0 || len(b) < int(info.Length) {
		return nil, nil, errBadTuple
	}
	d, err = decodeFixed(b[:info.Length], oid)
	return d, b[info.Length:], err
}

func decodeFixed(b []byte, oid types.OID) (types.Datum, error) {
	switch oid {
	case types.Int2:
		return int16(binary.BigEndian.Uint16(b) ^ 1<<15), nil
	case types.Int4:
		return int32(binary.BigEndian.Uint32(b) ^ 1<<31), nil
	case types.Int8:
		return int64(binary.BigEndian.Uint64(b) ^ 1<<63), nil
	case types.OidOID:
		return binary.BigEndian.Uint32(b), nil
	case types.DateOID:
		return types.Date(binary.BigEndian.Uint32(b) ^ 1<<31), nil
	case types.Timestamptz:
		return types.FromMicros(int64(binary.BigEndian.Uint64(b) ^ 1<<63)), nil
	case types.Float8:
		return floatFromBits(binary.BigEndian.Uint64(b)), nil
	case types.Bool:
		return b[0] != 0, nil
	case types.UUID:
		return [16]byte(b), nil
	}
	return nil, fmt.Errorf("index: type %d has no key form", oid)
}

// AppendTuple appends the encodings of several columns; oids and values go in
// parallel.
func AppendTuple(buf []byte, oids []types.OID, values []types.Datum) []byte {
	for i, d := range values {
		buf = AppendDatum(buf, oids[i], d)
	}
	return buf
}

// DecodeTuple reads all columns back; bytes left over are an error.
func DecodeTuple(b []byte, oids []types.OID) ([]types.Datum, error) {
	values := make([]types.Datum, len(oids))
	var err error
	for i, oid := range oids {
		if values[i], b, err = DecodeDatum(b, oid); err != nil {
			return nil, err
		}
	}
	if len(b) > 0 {
		return nil, errBadTuple
	}
	return values, nil
}
