package index

import (
	"encoding/binary"

	"github.com/anywriter/anywriter/simnode/internal/types"
	"github.com/cockroachdb/apd/v3"
)

// The first byte of a numeric is its class. A number is then 0.d1d2d3… × 10^e
// with d1 not 0: e as four bytes, the digits in pairs, each pair plus one as a
// byte, and a zero byte as the end. A negative number's bytes after the class are
// complemented.
const (
	numericNegInf   = 0x10
	numericNegative = 0x20
	numericZero     = 0x30
	numericPositive = 0x40
	numericInf      = 0x50
	numericNaN      = 0x60
)

func appendNumeric(buf []byte, d *apd.Decimal) []byte {
	switch {
	case d.Form == apd.Infinite && d.Negative:
		return append(buf, numericNegInf)
	case d.Form == apd.Infinite:
		return append(buf, numericInf)
	case d.Form != apd.Finite:
		return append(buf, numericNaN)
	case d.Coeff.Sign() == 0:
		return append(buf, numericZero)
	}
	var scratch [40]byte
	digits := d.Coeff.Append(scratch[:0], 10)
	exp := int32(len(digits)) + d.Exponent
	for digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
	}
	if len(digits)%2 == 1 {
		digits = append(digits, '0')
	}
	class := byte(numericPositive)
	if d.Negative {
		class = numericNegative
	}
	buf = append(buf, class)
	start := len(buf)
	buf = binary.BigEndian.AppendUint32(buf, uint32(exp)^1<<31)
	for i := 0; i < len(digits); i += 2 {
		buf = append(buf, (digits[i]-'0')*10+(digits[i+1]-'0')+1)
	}
	buf = append(buf, 0)
	if d.Negative {
		complement(buf[start:])
	}
	return buf
}

func complement(b []byte) {
	for i := range b {
		b[i] = ^b[i]
	}
}

func readNumeric(b []byte) (types.Datum, []byte, error) {
	if len(b) == 0 {
		return nil, nil, errBadTuple
	}
	class, b := b[0], b[1:]
	switch class {
	case numericNegInf, numericInf:
		return types.NumericInf(class == numericNegInf), b, nil
	case numericNaN:
		return types.NumericNaN(), b, nil
	case numericZero:
		return types.DecimalFromInt(0), b, nil
	case numericNegative, numericPositive:
	default:
		return nil, nil, errBadTuple
	}
	mask := byte(0)
	if class == numericNegative {
		mask = 0xFF
	}
	if len(b) < 5 {
		return nil, nil, errBadTuple
	}
	exp := int32(binary.BigEndian.Uint32([]byte{b[0] ^ mask, b[1] ^ mask, b[2] ^ mask, b[3] ^ mask}) ^ 1<<31)
	digits := make([]byte, 0, 32)
	i := 4
	for ; i < len(b) && b[i] != mask; i++ {
		pair := (b[i] ^ mask) - 1
		if pair > 99 {
			return nil, nil, errBadTuple
		}
		digits = append(digits, '0'+pair/10, '0'+pair%10)
	}
	if i == len(b) || len(digits) == 0 {
		return nil, nil, errBadTuple
	}
	if digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
	}
	d := &apd.Decimal{Negative: mask != 0, Exponent: exp - int32(len(digits))}
	d.Coeff.SetString(string(digits), 10)
	n, err := types.NormalizeDecimal(d)
	if err != nil {
		return nil, nil, errBadTuple
	}
	return n, b[i+1:], nil
}
