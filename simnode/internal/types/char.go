package types

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// charByte is the byte that a "char" holds.
func charByte(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}

// charOf makes a "char" of a byte.
func charOf(b byte) string {
	if b == 0 {
		return ""
	}
	return string([]byte{b})
}

// parseChar reads the text form: a byte, or one above 127 as \ooo (of which the low
// eight bits count). What follows the first byte of anything else is ignored.
func parseChar(s string) string {
	if len(s) == 4 && s[0] == '\\' {
		if n, err := strconv.ParseUint(s[1:], 8, 16); err == nil {
			return charOf(byte(n))
		}
	}
	return s[:min(len(s), 1)]
}

func appendChar(buf []byte, s string) []byte {
	if b := charByte(s); b >= utf8.RuneSelf {
		return fmt.Appendf(buf, "\\%03o", b)
	}
	return append(buf, s...)
}

// charToInt is the cast of "char" to integer: the byte with its sign.
func charToInt(s string) int32 { return int32(int8(charByte(s))) }

// intToChar is the inverse of charToInt.
func intToChar(v int64) (Datum, error) {
	if v < math.MinInt8 || v > math.MaxInt8 {
		return nil, OutOfRange(CharOID)
	}
	return charOf(byte(v)), nil
}

// appendInt2Vector writes an int2vector as array_send does: one dimension that
// counts from 0, of int2.
func appendInt2Vector(buf []byte, s string) ([]byte, error) {
	numbers := strings.Fields(s)
	for _, v := range []uint32{1, 0, Int2, uint32(len(numbers)), 0} {
		buf = binary.BigEndian.AppendUint32(buf, v)
	}
	for _, number := range numbers {
		n, err := strconv.ParseInt(number, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("types: an int2vector of %q", s)
		}
		buf = binary.BigEndian.AppendUint32(buf, 2)
		buf = binary.BigEndian.AppendUint16(buf, uint16(n))
	}
	return buf, nil
}
