package types

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func drawValue(t *rapid.T, oid OID) Datum {
	switch oid {
	case Int2:
		return rapid.Int16().Draw(t, "int2")
	case Int4:
		return rapid.Int32().Draw(t, "int4")
	case Int8:
		return rapid.Int64().Draw(t, "int8")
	case OidOID:
		return rapid.Uint32().Draw(t, "oid")
	case Float8:
		return rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.Inf(1), math.Copysign(0, -1)})).Draw(t, "float8")
	case Numeric:
		text := rapid.OneOf(rapid.StringMatching(`-?[0-9]{1,30}(\.[0-9]{0,30})?`), rapid.SampledFrom([]string{"NaN", "-Infinity", "1e300", "0e-9"}))
		d, err := ParseText(Numeric, NoTypmod, text.Draw(t, "numeric"))
		require.NoError(t, err)
		return d
	case Text, Varchar, Name, Unknown:
		return rapid.String().Draw(t, "text")
	case Bytea:
		return rapid.SliceOf(rapid.Byte()).Draw(t, "bytea")
	case Bool:
		return rapid.Bool().Draw(t, "bool")
	case DateOID:
		return Date(rapid.Int32().Draw(t, "date"))
	case Timestamptz:
		return FromMicros(rapid.OneOf(rapid.Int64Range(minMicros, endMicros-1), rapid.SampledFrom([]int64{math.MaxInt64, math.MinInt64})).Draw(t, "time"))
	case VoidOID:
		return Void{}
	}
	return [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid"))
}

// stored is every type that a row can hold.
func stored() []OID {
	return []OID{
		Bool, Bytea, Name, Int8, Int2, Int4, Text, OidOID, Float8, Unknown, Varchar, DateOID, Timestamptz, Numeric, UUID, VoidOID,
	}
}

func drawTyped(t *rapid.T) (Row, []OID) {
	oids := rapid.SliceOfN(rapid.SampledFrom(stored()), 0, 12).Draw(t, "types")
	row := make(Row, len(oids))
	for i, oid := range oids {
		if rapid.IntRange(0, 4).Draw(t, "null") > 0 {
			row[i] = drawValue(t, oid)
		}
	}
	return row, oids
}

func TestRowsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row, oids := drawTyped(t)
		b := EncodeRow(row, oids)
		back, err := DecodeRow(b, oids)
		require.NoError(t, err)
		require.Equal(t, b, EncodeRow(back, oids), "one row, one form")
		for i, oid := range oids {
			require.Zero(t, Compare(row[i], back[i], oid))
			require.Equal(t, FormatText(oid, row[i], nil), FormatText(oid, back[i], nil), "the scale of a numeric is kept too")
		}
		if len(b) > 0 {
			_, err = DecodeRow(b[:len(b)-1], oids)
			require.Error(t, err)
		}
		_, err = DecodeRow(append(b, 0), oids)
		require.Error(t, err)
	})
}

func TestTextAndBinaryComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		oid := rapid.SampledFrom([]OID{Bool, Bytea, Int8, Int2, Int4, OidOID, Float8, DateOID, Timestamptz, Numeric, UUID}).Draw(t, "type")
		d := drawValue(t, oid)
		if day, ok := d.(Date); ok && !day.IsInfinite() && !DateFits(int64(day)) {
			t.Skip("not a date")
		}
		text := FormatText(oid, d, nil)
		back, err := ParseText(oid, NoTypmod, text)
		require.NoError(t, err, text)
		require.Zero(t, Compare(d, back, oid), text)
		b, err := AppendBinary(nil, oid, d)
		require.NoError(t, err)
		back, err = DecodeBinary(oid, b)
		require.NoError(t, err)
		require.Equal(t, text, FormatText(oid, back, nil))
	})
}

func FuzzDecodeRow(f *testing.F) {
	f.Add([]byte{0, 0, 1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		oids := stored()
		row, err := DecodeRow(b, oids)
		if err != nil {
			return
		}
		if _, err := DecodeRow(EncodeRow(row, oids), oids); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzParseText(f *testing.F) {
	for _, s := range []string{"1", "1e5", "2024-01-02 03:04:05.6+07", "Jan-08-1999", `\x00`, "NaN", "-0.0", "0x1p-2", "{a0}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, oid := range stored() {
			d, err := ParseText(oid, NoTypmod, s)
			if err != nil || oid == VoidOID {
				continue
			}
			text := FormatText(oid, d, time.UTC)
			again, err := ParseText(oid, NoTypmod, text)
			if err != nil || Compare(d, again, oid) != 0 {
				t.Fatalf("type %d: %q gives %v, its text %q gives %v (%v)", oid, s, d, text, again, err)
			}
		}
	})
}

func FuzzDecodeBinary(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 0, 0, 0, 2, 0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, oid := range stored() {
			d, err := DecodeBinary(oid, b)
			if err != nil || oid == VoidOID {
				continue
			}
			out, err := AppendBinary(nil, oid, d)
			if err != nil {
				t.Fatal(err)
			}
			again, err := DecodeBinary(oid, out)
			if err != nil || Compare(d, again, oid) != 0 {
				t.Fatalf("type %d: %x gives %v, written %x gives %v (%v)", oid, b, d, out, again, err)
			}
		}
	})
}
