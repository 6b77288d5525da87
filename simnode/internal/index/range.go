package index

// Range is a part of an index: the tuples from From (inclusive) to To (exclusive),
// both encoded, without the OIDs of a key. A nil From is the beginning, a nil To
// the end, so the zero value is the whole index, upwards.
type Range struct {
	From, To []byte
	Reverse  bool // from the end of the range down
}

// Prefix is the range of all tuples that begin with the encoded columns.
func Prefix(tuple []byte) Range {
	return Range{From: tuple, To: Successor(tuple)}
}

// Successor gives the least byte string above every one that begins with prefix,
// or nil if there is none. With p the encoding of the leading columns and v that
// of the next one: "= v" is Prefix(p+v), ">= v" begins at p+v, "> v" at
// Successor(p+v), "< v" ends at p+v, "<= v" at Successor(p+v).
func Successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] == 0xFF {
			continue
		}
		next := append([]byte{}, prefix[:i+1]...)
		next[i]++
		return next
	}
	return nil
}

// AppendNulls appends the marker of a NULL column: as To it ends a range before
// the NULLs of the next column.
func AppendNulls(prefix []byte) []byte { return append(prefix, markerNull) }
