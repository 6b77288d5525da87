package message

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// writer appends the fields of a message to b.
type writer struct{ b []byte }

func (w *writer) u8(v byte)         { w.b = append(w.b, v) }
func (w *writer) uint(v uint64)     { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int(v int64)       { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) string(v string)   { w.uint(uint64(len(v))); w.b = append(w.b, v...) }
func (w *writer) lsn(v LSN)         { w.uint(uint64(v)) }
func (w *writer) epoch(v Epoch)     { w.uint(uint64(v)) }
func (w *writer) inc(v Incarnation) { w.uint(uint64(v)) }
func (w *writer) node(v NodeID)     { w.uint(uint64(v)) }

func (w *writer) bool(v bool) {
	if v {
		w.u8(1)
		return
	}
	w.u8(0)
}

func (w *writer) txid(v TxID) {
	w.node(v.Origin)
	w.inc(v.Inc)
	w.uint(v.Seq)
}

func (w *writer) nodes(v []NodeID) {
	w.uint(uint64(len(v)))
	for _, n := range v {
		w.node(n)
	}
}

func (w *writer) keys(v []KeyRef) {
	w.uint(uint64(len(v)))
	for i := range v {
		w.string(string(v[i].Key))
		w.u8(byte(v[i].Mode))
		w.lsn(v[i].Base)
	}
}

// row tells a deleted row (nil) from an empty one by writing the length plus one.
func (w *writer) row(v []byte) {
	if v == nil {
		w.uint(0)
		return
	}
	w.uint(uint64(len(v)) + 1)
	w.b = append(w.b, v...)
}

// time keeps nanoseconds and drops the zone; the zero time is a single 0 byte.
func (w *writer) time(v time.Time) {
	w.bool(!v.IsZero())
	if v.IsZero() {
		return
	}
	w.int(v.Unix())
	w.uint(uint64(v.Nanosecond()))
}

// reader takes the fields of a message from the front of b. After the first
// error every further read gives the zero value and leaves the error alone.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) u8() byte {
	if len(r.b) == 0 {
		r.fail(ErrTruncated)
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bool() bool {
	v := r.u8()
	if v > 1 {
		r.fail(fmt.Errorf("boolean is %d, not 0 or 1: %w", v, ErrMalformed))
	}
	return v == 1
}

// uint reads a varint that may be at most limit.
func (r *reader) uint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	switch {
	case n == 0:
		r.fail(ErrTruncated)
		return 0
	case n < 0 || v > limit:
		r.fail(fmt.Errorf("integer is above %d: %w", limit, ErrMalformed))
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	switch {
	case n == 0:
		r.fail(ErrTruncated)
		return 0
	case n < 0:
		r.fail(fmt.Errorf("integer has more than 64 bits: %w", ErrMalformed))
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) u64() uint64        { return r.uint(math.MaxUint64) }
func (r *reader) u32() uint32        { return uint32(r.uint(math.MaxUint32)) }
func (r *reader) lsn() LSN           { return LSN(r.u64()) }
func (r *reader) epoch() Epoch       { return Epoch(r.u32()) }
func (r *reader) inc() Incarnation   { return Incarnation(r.u32()) }
func (r *reader) node() NodeID       { return NodeID(r.uint(math.MaxUint16)) }
func (r *reader) storage() StorageID { return StorageID(r.uint(math.MaxUint8)) }

func (r *reader) txid() TxID {
	return TxID{Origin: r.node(), Inc: r.inc(), Seq: r.u64()}
}

// count reads the length of a slice whose elements take at least minBytes each;
// a length that the remaining bytes cannot hold is refused before anything is
// allocated for it.
func (r *reader) count(minBytes int) int {
	n := r.u64()
	if n > uint64(len(r.b)/minBytes) {
		r.fail(fmt.Errorf("%d elements in %d bytes: %w", n, len(r.b), ErrTruncated))
		return 0
	}
	return int(n)
}

func (r *reader) take(n int) []byte {
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) string() string { return string(r.take(r.count(1))) }

func (r *reader) row() []byte {
	n := r.u64()
	if n == 0 {
		return nil
	}
	if n-1 > uint64(len(r.b)) {
		r.fail(fmt.Errorf("row of %d bytes: %w", n-1, ErrTruncated))
		return nil
	}
	return r.take(int(n - 1))
}

func (r *reader) nodes() []NodeID {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	v := make([]NodeID, n)
	for i := range v {
		v[i] = r.node()
	}
	return v
}

func (r *reader) keys() []KeyRef {
	n := r.count(3)
	if n == 0 {
		return nil
	}
	v := make([]KeyRef, n)
	for i := range v {
		v[i] = KeyRef{Key: Key(r.string()), Mode: r.mode(), Base: r.lsn()}
	}
	return v
}

func (r *reader) mode() Mode {
	m := Mode(r.u8())
	if r.err == nil && (m == ModeUnknown || m > ModePredicate) {
		r.fail(fmt.Errorf("mode %d of a key: %w", m, ErrMalformed))
	}
	return m
}

func (r *reader) kind() RecordKind {
	k := RecordKind(r.u8())
	if r.err == nil && (k == RecordUnknown || k > RecordSequence) {
		r.fail(fmt.Errorf("kind %d of a record: %w", k, ErrMalformed))
	}
	return k
}

func (r *reader) reason() RejectReason {
	v := RejectReason(r.u8())
	if v > RejectReserved {
		r.fail(fmt.Errorf("reason %d of a rejection: %w", v, ErrMalformed))
	}
	return v
}

func (r *reader) time() time.Time {
	if !r.bool() {
		return time.Time{}
	}
	sec, nsec := r.int(), r.uint(999_999_999)
	if r.err != nil {
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec)).UTC()
}
