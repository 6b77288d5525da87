package message

import (
	"errors"
	"fmt"
)

// Errors of Decode. They come wrapped with what was being read.
var (
	// ErrTruncated says that the bytes end before the message does.
	ErrTruncated = errors.New("message is truncated")
	// ErrMalformed says that a field has a value that no sender writes.
	ErrMalformed = errors.New("message is malformed")
	// ErrVersion says that the first byte is of another version of the codec.
	ErrVersion = errors.New("message is of an unknown version or kind")
)

// tag is the first byte of a message: the codec's version in the upper two bits
// and the kind of message in the lower six.
type tag byte

const (
	codecVersion = 1 << 6
	versionMask  = 3 << 6
)

const (
	tagPropose tag = codecVersion + 1 + iota
	tagVote
	tagAbort
	tagCommitted
	tagApplied
	tagAppend
	tagResolve
	tagDecided
	tagFenceRequest
	tagFenceReply
	tagFetch
	tagFetchReply
	tagAccept
	tagAccepted
	tagLeaseRequest
	tagLeaseGrant
	tagRelease
)

// encodable is what every message of this package implements beside Message:
// its tag, and how its fields stand in bytes.
type encodable interface {
	tag() tag
	put(w *writer)
}

// Encode gives the byte form of m: one tag byte, then the fields in the order of
// the struct, integers as varints. The result is the caller's. It panics if m is
// nil, which only a bug can bring about.
func Encode(m Message) []byte {
	e, ok := m.(encodable)
	if !ok {
		panic(fmt.Sprintf("message.Encode: %T has no byte form", m))
	}
	w := writer{b: make([]byte, 0, sizeHint(m))}
	w.u8(byte(e.tag()))
	e.put(&w)
	return w.b
}

// sizeHint guesses the encoded size in bytes so that Encode allocates once.
func sizeHint(m Message) int {
	const fields = 64 // every message without slices fits
	switch m := m.(type) {
	case Propose:
		return fields + keysSize(m.Keys)
	case Committed:
		return fields + recordSize(&m.Record)
	case Append:
		return fields + recordSize(&m.Record)
	case Accept:
		return fields + recordSize(&m.Record)
	case FetchReply:
		size := fields
		for i := range m.Records {
			size += recordSize(&m.Records[i])
		}
		return size
	default:
		return fields
	}
}

func recordSize(r *Record) int {
	size := 64 + keysSize(r.Keys) + 8*len(r.Votes) + 3*len(r.Members)
	for i := range r.Writes {
		size += 16 + len(r.Writes[i].Key) + len(r.Writes[i].Row)
	}
	return size
}

func keysSize(keys []KeyRef) int {
	size := 0
	for i := range keys {
		size += 16 + len(keys[i].Key)
	}
	return size
}

// Decode reads one message, which must fill b exactly. It never panics and never
// allocates more than a small multiple of len(b), whatever b holds. Errors are
// ErrTruncated, ErrMalformed or ErrVersion, wrapped. Rows in the result alias b:
// b must not be changed afterwards. Empty slices come back nil.
func Decode(b []byte) (Message, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("decode: %w", ErrTruncated)
	}
	r := reader{b: b[1:]}
	m := r.message(tag(b[0]))
	if m == nil {
		return nil, fmt.Errorf("decode: first byte %#02x: %w", b[0], ErrVersion)
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%d bytes after the end: %w", len(r.b), ErrMalformed)
	}
	if r.err != nil {
		return nil, fmt.Errorf("decode %T: %w", m, r.err)
	}
	return m, nil
}

// message reads the fields of the kind of message that t names; nil if no kind
// has that tag.
func (r *reader) message(t tag) Message {
	if t&versionMask != codecVersion {
		return nil
	}
	switch t {
	case tagPropose:
		return get[Propose](r)
	case tagVote:
		return get[Vote](r)
	case tagAbort:
		return get[Abort](r)
	case tagCommitted:
		return get[Committed](r)
	case tagApplied:
		return get[Applied](r)
	case tagAppend:
		return get[Append](r)
	case tagResolve:
		return get[Resolve](r)
	case tagDecided:
		return get[Decided](r)
	case tagFenceRequest:
		return get[FenceRequest](r)
	case tagFenceReply:
		return get[FenceReply](r)
	case tagFetch:
		return get[Fetch](r)
	case tagFetchReply:
		return get[FetchReply](r)
	case tagAccept:
		return get[Accept](r)
	case tagAccepted:
		return get[Accepted](r)
	case tagLeaseRequest:
		return get[LeaseRequest](r)
	case tagLeaseGrant:
		return get[LeaseGrant](r)
	case tagRelease:
		return get[Release](r)
	default:
		return nil
	}
}

// decodable is the pointer side of a message type.
type decodable[T any] interface {
	*T
	get(r *reader)
}

func get[T Message, P decodable[T]](r *reader) Message {
	var m T
	P(&m).get(r)
	return m
}
