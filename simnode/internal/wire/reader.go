package wire

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

const readerBytes = 8 << 10 // as PostgreSQL's receive buffer

// reader cuts messages out of the byte stream. What it returns is valid until its
// next call.
type reader struct {
	src  io.Reader
	max  int // largest body of an ordinary message
	buf  []byte
	r, w int // what is in buf and not yet cut
}

func newReader(src io.Reader, maxBody int) *reader {
	return &reader{src: src, max: maxBody, buf: make([]byte, readerBytes)}
}

// buffered reports whether a whole header is already here, so that the next
// message will most likely not block.
func (r *reader) buffered() bool { return r.w-r.r >= 5 }

// next gives n bytes. The buffer grows only as bytes arrive: a header that
// promises much costs nothing.
func (r *reader) next(n int) ([]byte, error) {
	for r.w-r.r < n {
		r.makeRoom(n)
		k, err := r.src.Read(r.buf[r.w:])
		r.w += k
		if err != nil && r.w-r.r < n {
			if errors.Is(err, io.EOF) && r.w > r.r {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	b := r.buf[r.r : r.r+n : r.r+n]
	r.r += n
	return b, nil
}

func (r *reader) makeRoom(n int) {
	if r.r == r.w {
		r.r, r.w = 0, 0
		if len(r.buf) > 8*readerBytes && n <= readerBytes {
			r.buf = make([]byte, readerBytes)
		}
	}
	if r.r > 0 && r.r+n > len(r.buf) {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	if r.w == len(r.buf) {
		grown := make([]byte, min(2*len(r.buf), max(n, 2*readerBytes)))
		r.w = copy(grown, r.buf[r.r:r.w])
		r.r, r.buf = 0, grown
	}
}

// message gives the next message's type and body. A *sqlerr.Error is the FATAL
// that the client must see; other errors are the connection's own.
func (r *reader) message() (byte, []byte, error) {
	head, err := r.next(5)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, nil, sqlerr.Fatal("08P01", "incomplete message header from client")
	}
	if err != nil {
		return 0, nil, err
	}
	kind, size := head[0], int(int32(binary.BigEndian.Uint32(head[1:])))
	limit := r.limit(kind)
	if limit == 0 {
		return kind, nil, sqlerr.Fatal("08P01", "invalid frontend message type %d", kind)
	}
	switch {
	case size < 4:
		return kind, nil, sqlerr.Fatal("08P01", "invalid message length %d in %s message, at least 4 is allowed", size, messageName(kind))
	case size-4 > limit:
		return kind, nil, sqlerr.Fatal("08P01", "%s message of %d bytes is too long, allowed are %d", messageName(kind), size-4, limit)
	}
	body, err := r.next(size - 4)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = sqlerr.Fatal("08P01", "incomplete %s message from client", messageName(kind))
	}
	return kind, body, err
}

// limit is how long a message's body may be; 0 means that there is no such
// message.
func (r *reader) limit(kind byte) int {
	switch kind {
	case 'Q', 'P', 'B', 'd', 'F':
		return r.max
	case 'p':
		return maxAuthBytes
	case 'D', 'E', 'C', 'f', 'c', 'H', 'S', 'X':
		return maxSmallBytes
	default:
		return 0
	}
}

// messageName gives the name that the protocol's documentation uses.
func messageName(kind byte) string {
	switch kind {
	case 'Q':
		return "Query"
	case 'P':
		return "Parse"
	case 'B':
		return "Bind"
	case 'D':
		return "Describe"
	case 'E':
		return "Execute"
	case 'C':
		return "Close"
	case 'H':
		return "Flush"
	case 'S':
		return "Sync"
	case 'X':
		return "Terminate"
	case 'F':
		return "FunctionCall"
	case 'd':
		return "CopyData"
	case 'c':
		return "CopyDone"
	case 'f':
		return "CopyFail"
	case 'p':
		return "password"
	default:
		return "unknown"
	}
}
