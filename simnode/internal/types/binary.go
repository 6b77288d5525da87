package types

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/cockroachdb/apd/v3"
)

// AppendBinary appends the binary wire form of a value that is not NULL. The error
// says which OID and Go type did not fit; it is a defect of the caller.
func AppendBinary(buf []byte, oid OID, d Datum) ([]byte, error) {
	switch v := d.(type) {
	case string:
		switch oid {
		case CharOID:
			return append(buf, charByte(v)), nil
		case Int2Vector:
			return appendInt2Vector(buf, v)
		}
		return append(buf, v...), nil
	case int16:
		return binary.BigEndian.AppendUint16(buf, uint16(v)), nil
	case int32:
		return binary.BigEndian.AppendUint32(buf, uint32(v)), nil
	case int64:
		return binary.BigEndian.AppendUint64(buf, uint64(v)), nil
	case uint32:
		return binary.BigEndian.AppendUint32(buf, v), nil
	case float64:
		return binary.BigEndian.AppendUint64(buf, math.Float64bits(v)), nil
	case *apd.Decimal:
		return appendNumericBinary(buf, v), nil
	case bool:
		if v {
			return append(buf, 1), nil
		}
		return append(buf, 0), nil
	case []byte:
		return append(buf, v...), nil
	case time.Time:
		return binary.BigEndian.AppendUint64(buf, uint64(Micros(v))), nil
	case Date:
		return binary.BigEndian.AppendUint32(buf, uint32(v)), nil
	case [16]byte:
		return append(buf, v[:]...), nil
	case Regclass:
		return binary.BigEndian.AppendUint32(buf, v.OID), nil
	case Void:
		return buf, nil
	}
	return buf, fmt.Errorf("types: no binary form of %T as %s", d, FormatType(oid, NoTypmod))
}

// DecodeBinary reads the binary wire form of a type, as its PostgreSQL receive
// function does. Errors are *sqlerr.Error: 22P03 (wrong length or content), 22021
// (not UTF-8), 22008 (out of range).
func DecodeBinary(oid OID, b []byte) (Datum, error) {
	if size := binarySize(oid); size > 0 && len(b) != size {
		if len(b) < size {
			return nil, sqlerr.New("08P01", "insufficient data left in message")
		}
		return nil, sqlerr.New("22P03", "incorrect binary data format")
	}
	switch oid {
	case Text, Varchar, Unknown, Name:
		return parseText(oid, string(b), Env{})
	case Int2:
		return int16(binary.BigEndian.Uint16(b)), nil
	case Int4:
		return int32(binary.BigEndian.Uint32(b)), nil
	case Int8:
		return int64(binary.BigEndian.Uint64(b)), nil
	case OidOID:
		return binary.BigEndian.Uint32(b), nil
	case Float8:
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	case Numeric:
		return decodeNumericBinary(b)
	case Bool:
		return b[0] != 0, nil
	case CharOID:
		return charOf(b[0]), nil
	case Bytea:
		return append([]byte{}, b...), nil
	case UUID:
		return [16]byte(b), nil
	case DateOID:
		d := Date(binary.BigEndian.Uint32(b))
		if !d.IsInfinite() && !DateFits(int64(d)) {
			return nil, OutOfRange(DateOID)
		}
		return d, nil
	case Timestamptz:
		t := FromMicros(int64(binary.BigEndian.Uint64(b)))
		if !timestampFits(t) {
			return nil, OutOfRange(Timestamptz)
		}
		return t, nil
	case RegclassOID:
		return Regclass{OID: binary.BigEndian.Uint32(b), Open: true}, nil
	case VoidOID:
		return Void{}, nil
	}
	return nil, sqlerr.Unsupported("binary input of type " + FormatType(oid, NoTypmod))
}

func binarySize(oid OID) int {
	switch oid {
	case Int2, Int4, Int8, OidOID, Float8, Bool, UUID, DateOID, Timestamptz, CharOID, RegclassOID:
		info, _ := Lookup(oid)
		return int(info.Length)
	}
	return 0
}

// The sign field of numeric's binary form.
const (
	numericNeg    = 0x4000
	numericNaN    = 0xC000
	numericPosInf = 0xD000
	numericNegInf = 0xF000
)

// appendNumericBinary writes numeric_send's form: count, weight, sign and scale,
// then digits in base 10000.
func appendNumericBinary(buf []byte, d *apd.Decimal) []byte {
	header := func(digits, weight int, sign uint16, scale int32) []byte {
		buf = binary.BigEndian.AppendUint16(buf, uint16(digits))
		buf = binary.BigEndian.AppendUint16(buf, uint16(int16(weight)))
		buf = binary.BigEndian.AppendUint16(buf, sign)
		return binary.BigEndian.AppendUint16(buf, uint16(scale))
	}
	switch numericRank(d) {
	case -1:
		return header(0, 0, numericNegInf, 32)
	case 1:
		return header(0, 0, numericPosInf, 32)
	case 2:
		return header(0, 0, numericNaN, 0)
	}
	scale := -d.Exponent
	groups, weight := base10000(d)
	sign := uint16(0)
	if d.Negative {
		sign = numericNeg
	}
	buf = header(len(groups), weight, sign, scale)
	for _, g := range groups {
		buf = binary.BigEndian.AppendUint16(buf, g)
	}
	return buf
}

// base10000 cuts the digits into groups of four around the decimal point, without
// leading and trailing zero groups. weight is the power of 10000 of the first.
func base10000(d *apd.Decimal) (groups []uint16, weight int) {
	if d.Coeff.Sign() == 0 {
		return nil, 0
	}
	digits := d.Coeff.Append(nil, 10)
	scale := int(-d.Exponent)
	for pad := (4 - scale%4) % 4; pad > 0; pad-- {
		digits = append(digits, '0')
		scale++
	}
	for len(digits)%4 != 0 {
		digits = append([]byte{'0'}, digits...)
	}
	for i := 0; i < len(digits); i += 4 {
		g := uint16(0)
		for _, c := range digits[i : i+4] {
			g = g*10 + uint16(c-'0')
		}
		groups = append(groups, g)
	}
	weight = len(groups) - scale/4 - 1
	for groups[0] == 0 {
		groups, weight = groups[1:], weight-1
	}
	for groups[len(groups)-1] == 0 {
		groups = groups[:len(groups)-1]
	}
	return groups, weight
}

func decodeNumericBinary(b []byte) (Datum, error) {
	if len(b) < 8 {
		return nil, sqlerr.New("08P01", "insufficient data left in message")
	}
	count := int(binary.BigEndian.Uint16(b))
	weight := int(int16(binary.BigEndian.Uint16(b[2:])))
	sign := binary.BigEndian.Uint16(b[4:])
	scale := int32(binary.BigEndian.Uint16(b[6:]))
	switch sign {
	case numericNaN:
		return NumericNaN(), nil
	case numericPosInf, numericNegInf:
		return NumericInf(sign == numericNegInf), nil
	case 0, numericNeg:
	default:
		return nil, sqlerr.New("22P03", "invalid sign in external \"numeric\" value")
	}
	if scale > MaxNumericScale {
		return nil, sqlerr.New("22P03", "invalid scale in external \"numeric\" value")
	}
	if len(b) != 8+2*count {
		return nil, sqlerr.New("22P03", "incorrect binary data format")
	}
	text := make([]byte, 0, 4*count+1)
	for i := range count {
		g := binary.BigEndian.Uint16(b[8+2*i:])
		if g > 9999 {
			return nil, sqlerr.New("22P03", "invalid digit in external \"numeric\" value")
		}
		text = appendPadded(text, int(g), 4)
	}
	d := &apd.Decimal{Negative: sign == numericNeg, Exponent: int32(4 * (weight - count + 1))}
	d.Coeff.SetString("0"+string(text), 10)
	if d.Exponent > 0 || d.Coeff.Sign() == 0 {
		n, err := NormalizeDecimal(d)
		if err != nil {
			return nil, err
		}
		d = n
	}
	return normal(TruncDecimal(d, scale))
}
