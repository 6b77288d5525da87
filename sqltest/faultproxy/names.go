package faultproxy

import "fmt"

// namesToServer and namesToClient are the names that the PostgreSQL manual
// (55.7 Message Formats) gives to the types of messages.
var (
	namesToServer = map[byte]string{
		Startup: "StartupMessage", SSLRequest: "SSLRequest", GSSENCRequest: "GSSENCRequest", CancelRequest: "CancelRequest",
		Opaque: "encrypted bytes", 'B': "Bind", 'C': "Close", 'd': "CopyData", 'c': "CopyDone", 'f': "CopyFail", 'D': "Describe",
		'E': "Execute", 'H': "Flush", 'F': "FunctionCall", 'P': "Parse", 'p': "PasswordMessage", 'Q': "Query", 'S': "Sync",
		'X': "Terminate",
	}
	namesToClient = map[byte]string{
		SSLAnswer: "answer to SSLRequest", Opaque: "encrypted bytes", 'R': "Authentication", 'K': "BackendKeyData",
		'2': "BindComplete", '3': "CloseComplete", 'C': "CommandComplete", 'd': "CopyData", 'c': "CopyDone", 'G': "CopyInResponse",
		'H': "CopyOutResponse", 'W': "CopyBothResponse", 'D': "DataRow", 'I': "EmptyQueryResponse", 'E': "ErrorResponse",
		'V': "FunctionCallResponse", 'v': "NegotiateProtocolVersion", 'n': "NoData", 'N': "NoticeResponse",
		'A': "NotificationResponse", 't': "ParameterDescription", 'S': "ParameterStatus", '1': "ParseComplete",
		's': "PortalSuspended", 'Z': "ReadyForQuery", 'T': "RowDescription",
	}
)

// TypeName is the PostgreSQL manual's name for a type of message in one
// direction, such as "Sync" or "ReadyForQuery".
func TypeName(dir Direction, typ byte) string {
	names := namesToServer
	if dir == ToClient {
		names = namesToClient
	}
	switch name, ok := names[typ]; {
	case ok:
		return name
	case typ == AnyType:
		return "any message"
	default:
		return fmt.Sprintf("message %q", typ)
	}
}

// String gives the message's name, such as "Sync", not its content.
func (m Message) String() string { return TypeName(m.Direction, m.Type) }

// String says where the rule acted, such as "after 0 of 5 bytes of Sync number
// 2 to server, connection 1".
func (h Hit) String() string {
	return fmt.Sprintf("after %d of %d bytes of %s number %d %v, connection %d",
		h.Split, h.Size, TypeName(h.Direction, h.Type), h.Nth, h.Direction, h.Conn)
}
