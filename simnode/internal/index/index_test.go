package index

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawDatum makes a value of a type, edges and NULL included.
func drawDatum(t *rapid.T, oid types.OID, label string) types.Datum {
	if rapid.IntRange(0, 9).Draw(t, label+" null") == 0 {
		return nil
	}
	switch oid {
	case types.Int2:
		return rapid.Int16().Draw(t, label)
	case types.Int4:
		return rapid.Int32().Draw(t, label)
	case types.Int8:
		return rapid.Int64().Draw(t, label)
	case types.OidOID:
		return rapid.Uint32().Draw(t, label)
	case types.Float8:
		edges := rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), 5e-324, -5e-324})
		return rapid.OneOf(rapid.Float64(), edges).Draw(t, label)
	case types.Numeric:
		return drawNumeric(t, label)
	case types.Text, types.Varchar, types.Name:
		return rapid.StringOf(rapid.SampledFrom([]rune("ab\x01\x7fäÿ\U0010ffff"))).Draw(t, label)
	case types.CharOID:
		return rapid.SampledFrom([]string{"", "a", "b", "\x01", "\xff"}).Draw(t, label)
	case types.Bytea:
		return rapid.SliceOf(rapid.SampledFrom([]byte{0, 1, 2, 0xFE, 0xFF})).Draw(t, label)
	case types.Bool:
		return rapid.Bool().Draw(t, label)
	case types.DateOID:
		return rapid.OneOf(
			rapid.Map(rapid.Int32Range(-2451507, 2145031948), func(v int32) types.Date { return types.Date(v) }),
			rapid.SampledFrom([]types.Date{types.DateInfinity, types.DateNegInfinity, -1, 0, 1}),
		).Draw(t, label)
	case types.Timestamptz:
		return rapid.OneOf(
			rapid.Map(rapid.Int64Range(-211813488000000000, 9223371331199999999), types.FromMicros),
			rapid.SampledFrom([]time.Time{types.Infinity(), types.NegInfinity()}),
		).Draw(t, label)
	default:
		return [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
	}
}

func drawNumeric(t *rapid.T, label string) types.Datum {
	text := rapid.OneOf(
		rapid.StringMatching(`-?[0-9]{1,3}(\.[0-9]{0,3})?`),
		rapid.StringMatching(`-?[0-9]{1,40}(\.[0-9]{0,40})?`),
		rapid.StringMatching(`-?[1-9]e-?[0-9]{1,3}`),
		rapid.SampledFrom([]string{"0", "0.00", "NaN", "Infinity", "-Infinity", "100", "1e2", "99.99"}),
	).Draw(t, label)
	d, err := types.ParseText(types.Numeric, types.NoTypmod, text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return d
}

var keyTypes = []types.OID{
	types.Bool, types.Bytea, types.Name, types.Int8, types.Int2, types.Int4, types.Text, types.OidOID,
	types.Float8, types.Varchar, types.DateOID, types.Timestamptz, types.Numeric, types.UUID, types.CharOID,
}

func sign(v int) int { return max(-1, min(1, v)) }

func TestBytesSortAsValues(t *testing.T) {
	for _, oid := range keyTypes {
		rapid.Check(t, func(t *rapid.T) {
			a, b := drawDatum(t, oid, "a"), drawDatum(t, oid, "b")
			if rapid.IntRange(0, 4).Draw(t, "same") == 0 {
				b = a
			}
			ka, kb := AppendDatum(nil, oid, a), AppendDatum(nil, oid, b)
			if bytes.Compare(ka, kb) != sign(types.Compare(a, b, oid)) {
				t.Fatalf("type %d: %v as %x and %v as %x", oid, a, ka, b, kb)
			}
			if len(ka) < len(kb) && bytes.HasPrefix(kb, ka) {
				t.Fatalf("type %d: %x is a prefix of %x", oid, ka, kb)
			}
		})
	}
}

func TestTuplesSortByColumn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		oids := rapid.SliceOfN(rapid.SampledFrom(keyTypes), 1, 4).Draw(t, "types")
		draw := func(label string) []types.Datum {
			values := make([]types.Datum, len(oids))
			for i, oid := range oids {
				values[i] = drawDatum(t, oid, label)
			}
			return values
		}
		a, b := draw("a"), draw("b")
		copy(b, a[:rapid.IntRange(0, len(a)).Draw(t, "equal")])
		want := 0
		for i := range oids {
			if want = sign(types.Compare(a[i], b[i], oids[i])); want != 0 {
				break
			}
		}
		ka, kb := AppendTuple(nil, oids, a), AppendTuple(nil, oids, b)
		if got := bytes.Compare(ka, kb); got != want {
			t.Fatalf("%v and %v compare as %d, want %d", a, b, got, want)
		}
		back, err := DecodeTuple(ka, oids)
		require.NoError(t, err)
		for i := range oids {
			require.Zero(t, types.Compare(a[i], back[i], oids[i]), "column %d: %v came back as %v", i, a[i], back[i])
		}
		_, err = DecodeTuple(ka[:len(ka)-1], oids)
		require.Error(t, err, "a cut tuple")
		_, err = DecodeTuple(append(ka, 1), oids)
		require.Error(t, err, "a tuple with more")
	})
}

// Equal keys of a numeric have one form, whatever their scale.
func TestScaleDoesNotCount(t *testing.T) {
	form := func(text string) []byte {
		d, err := types.ParseText(types.Numeric, types.NoTypmod, text)
		require.NoError(t, err)
		return AppendDatum(nil, types.Numeric, d)
	}
	require.Equal(t, form("1.5"), form("1.500"))
	require.Equal(t, form("100"), form("1e2"))
	require.Equal(t, form("0"), form("-0.00"))
}

func TestRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		oid := rapid.SampledFrom(keyTypes).Draw(t, "type")
		v, x := drawDatum(t, oid, "v"), drawDatum(t, oid, "x")
		if v == nil {
			t.Skip("a bound is never NULL")
		}
		kv := AppendDatum(nil, oid, v)
		kx := AppendDatum(AppendDatum(nil, oid, x), types.Int4, int32(7)) // a longer tuple
		order := types.Compare(x, v, oid)
		require.Equal(t, order == 0, inRange(Prefix(kv), kx))
		require.Equal(t, order >= 0, inRange(Range{From: kv}, kx))
		require.Equal(t, order > 0, inRange(Range{From: Successor(kv)}, kx))
		require.Equal(t, order < 0, inRange(Range{To: kv}, kx))
		require.Equal(t, order <= 0, inRange(Range{To: Successor(kv)}, kx))
		require.Equal(t, x != nil, inRange(Range{To: AppendNulls(nil)}, kx))
	})
	require.Nil(t, Successor([]byte{0xFF, 0xFF}))
	require.True(t, inRange(Range{}, nil))
}

func inRange(r Range, key []byte) bool {
	return bytes.Compare(key, r.From) >= 0 && (r.To == nil || bytes.Compare(key, r.To) < 0)
}

func TestKeys(t *testing.T) {
	table := (&catalog.Table{
		OID: 16400, Name: "t",
		Columns: []catalog.Column{{Name: "a", Type: types.Text}, {Name: "b", Type: types.Int4}},
		Indexes: []catalog.Index{{OID: 16401, Columns: []int{1, 0}, Primary: true}},
	}).Seal()
	key, ok := RowKey(table, types.Row{"x", int32(5)})
	require.True(t, ok)
	tableOID, indexOID, tuple, ok := Split(key)
	require.True(t, ok)
	require.EqualValues(t, 16400, tableOID)
	require.EqualValues(t, 16401, indexOID)
	values, err := DecodeTuple([]byte(tuple), Columns(table, table.Primary()))
	require.NoError(t, err)
	require.Equal(t, []types.Datum{int32(5), "x"}, values)
	require.Equal(t, "(b, a)=(5, x)", FormatKey(table, table.Primary(), values, nil))

	table.Indexes = nil
	_, ok = RowKey(table, types.Row{"x", int32(5)})
	require.False(t, ok)
	tableOID, indexOID, tuple, ok = Split(HiddenKey(16400, [16]byte{1}))
	require.True(t, ok)
	require.Equal(t, tableOID, indexOID)
	require.Len(t, tuple, 16)
	_, _, _, ok = Split("short")
	require.False(t, ok)
}

func FuzzDecodeTuple(f *testing.F) {
	f.Add([]byte{1, 0x40, 0x80, 0, 0, 1, 2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, oid := range keyTypes {
			d, rest, err := DecodeDatum(b, oid)
			if err != nil {
				continue
			}
			again, _, err := DecodeDatum(AppendDatum(nil, oid, d), oid)
			if err != nil || types.Compare(d, again, oid) != 0 {
				t.Fatalf("type %d: %x gives %v, then %v (%v), rest %x", oid, b, d, again, err, rest)
			}
		}
	})
}

func BenchmarkRowKey(b *testing.B) {
	table := (&catalog.Table{
		OID:     16400,
		Columns: []catalog.Column{{Type: types.Int8}},
		Indexes: []catalog.Index{{OID: 16401, Columns: []int{0}, Primary: true}},
	}).Seal()
	row := types.Row{int64(123456)}
	b.ReportAllocs()
	for b.Loop() {
		RowKey(table, row)
	}
}
