package health

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// KindOf says which event an error of a probe or dial means; EventProbeOK for
// nil. Errors of the server are told by their SQLSTATE, which any error with a
// method SQLState() string gives.
func KindOf(err error) Kind {
	if err == nil {
		return EventProbeOK
	}
	var server interface{ SQLState() string }
	if errors.As(err, &server) {
		return kindOfState(server.SQLState())
	}
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return EventRefused // ErrNotExist: the unix socket is gone
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return EventReset
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.As(err, &timeout) && timeout.Timeout():
		return EventProbeTimeout
	default:
		return EventProbeFailed
	}
}

// kindOfState sorts the SQLSTATEs that say something about the node.
func kindOfState(code string) Kind {
	switch code {
	case "57P01", "57P02":
		return EventDrain
	case "57P03":
		return EventNotReady
	case "53300":
		return EventFull
	default:
		return EventProbeFailed
	}
}
