package faultproxy

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Codes in place of a protocol version (PostgreSQL manual, 55.7 Message
// Formats).
const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSSENC = 80877104
)

// maxMessage bounds what is buffered for one message. PostgreSQL itself accepts
// up to 1 GB; no test sends that.
const maxMessage = 256 << 20 // bytes

// readUntyped reads a message of the start of a connection: length and code.
func readUntyped(r io.Reader) (Message, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Message{}, err
	}
	size := binary.BigEndian.Uint32(head[:4])
	if size < 8 || size > maxMessage {
		return Message{}, fmt.Errorf("faultproxy: first message of %d bytes", size)
	}
	m := Message{Direction: ToServer, Type: Startup, Bytes: make([]byte, size)}
	switch binary.BigEndian.Uint32(head[4:]) {
	case codeCancel:
		m.Type = CancelRequest
	case codeSSL:
		m.Type = SSLRequest
	case codeGSSENC:
		m.Type = GSSENCRequest
	}
	copy(m.Bytes, head[:])
	_, err := io.ReadFull(r, m.Bytes[8:])
	return m, err
}

// readTyped reads the rest of a message whose type byte has been read.
func readTyped(r io.Reader, dir Direction, typ byte) (Message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Message{}, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 4 || size > maxMessage {
		return Message{}, fmt.Errorf("faultproxy: message %q of %d bytes", typ, size)
	}
	m := Message{Direction: dir, Type: typ, Bytes: make([]byte, 1+size)}
	m.Bytes[0] = typ
	copy(m.Bytes[1:], head[:])
	_, err := io.ReadFull(r, m.Bytes[5:])
	return m, err
}

// readOpaque reads whatever there is.
func readOpaque(r io.Reader, dir Direction) (Message, error) {
	buf := make([]byte, 32<<10)
	n, err := r.Read(buf)
	if n > 0 {
		err = nil // the next read repeats it
	}
	return Message{Direction: dir, Type: Opaque, Bytes: buf[:n]}, err
}
