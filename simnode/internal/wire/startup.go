package wire

import (
	"encoding/binary"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/anywriter/anywriter/simnode/internal/session"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// The codes that stand where a startup message has its protocol version.
const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSS    = 80877104

	protocolMajor  = 3
	protocolNewest = protocolMajor << 16 // 3.0, as PostgreSQL 15
)

// startup is a decoded startup message.
type startup struct {
	minor    int
	params   []session.Parameter // in the order of the message, without _pq_ ones
	unknown  []string            // _pq_ options
	user     string
	database string
}

// readStartup reads up to the startup message, refusing encryption on the way. A
// nil startup without an error means that the connection was a cancel request and
// has done its work.
func (c *conn) readStartup() (*startup, error) {
	sslAsked, gssAsked := false, false
	for {
		packet, err := c.startupPacket()
		if err != nil {
			return nil, err
		}
		code := binary.BigEndian.Uint32(packet)
		switch {
		case code == codeCancel:
			c.cancelRequest(packet[4:])
			return nil, nil
		case code == codeSSL && !sslAsked:
			sslAsked = true
		case code == codeGSS && !gssAsked:
			gssAsked = true
		default:
			return parseStartup(code, packet[4:])
		}
		c.out.buf = append(c.out.buf, 'N')
		if err := c.out.flush(); err != nil {
			return nil, err
		}
	}
}

func (c *conn) startupPacket() ([]byte, error) {
	head, err := c.in.next(4)
	if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head)
	if size < 8 || size > maxStartupBytes+4 {
		return nil, sqlerr.Fatal("08P01", "invalid length of startup packet: %d, allowed are 8 to %d", size, maxStartupBytes+4)
	}
	packet, err := c.in.next(int(size) - 4)
	if err != nil {
		return nil, incomplete(err, "startup")
	}
	return packet, nil
}

// cancelRequest carries out a cancel request; its sender gets no answer.
func (c *conn) cancelRequest(data []byte) {
	if len(data) >= 8 {
		c.cfg.Cancel.cancel(binary.BigEndian.Uint32(data), data[4:])
	}
}

func parseStartup(version uint32, data []byte) (*startup, error) {
	major, minor := version>>16, int(version&0xffff)
	if major != protocolMajor {
		return nil, sqlerr.Fatal("0A000", "unsupported frontend protocol %d.%d: server supports 3.0 to 3.0", major, minor)
	}
	s := &startup{minor: minor}
	b := body{name: "startup", rest: data}
	for {
		name := b.cstring("parameter name")
		if name == "" {
			break
		}
		value := b.cstring("value of parameter " + name)
		s.add(name, value)
	}
	if err := b.err(); err != nil {
		return nil, sqlerr.Fatal("08P01", "invalid startup packet layout: expected terminator as last byte").
			WithDetail("%s.", b.bad)
	}
	return s, s.complete()
}

func (s *startup) add(name, value string) {
	switch {
	case strings.HasPrefix(name, "_pq_."):
		s.unknown = append(s.unknown, name)
	case name == "user":
		s.user = value
	case name == "database":
		s.database = value
	default:
		s.params = append(s.params, session.Parameter{Name: name, Value: value})
	}
}

// complete checks what a session needs and takes the options apart.
func (s *startup) complete() error {
	if s.user == "" {
		return sqlerr.Fatal("28000", "no PostgreSQL user name specified in startup packet")
	}
	if s.database == "" {
		s.database = s.user
	}
	var params, options []session.Parameter
	for _, p := range s.params {
		switch p.Name {
		case "options":
			parsed, err := parseOptions(p.Value)
			if err != nil {
				return err
			}
			options = append(options, parsed...)
		case "replication":
			if on := strings.ToLower(p.Value); on != "false" && on != "off" && on != "no" && on != "0" {
				return sqlerr.Fatal("0A000", "replication connections are not supported by the simulated cluster")
			}
		default:
			params = append(params, p)
		}
	}
	s.params = append(options, params...)
	return nil
}

// parseOptions reads the command-line options of a startup message: "-c name=value"
// and "--name=value", with backslash before a blank that belongs to a value.
func parseOptions(text string) ([]session.Parameter, error) {
	var out []session.Parameter
	words := splitOptions(text)
	for i := 0; i < len(words); i++ {
		word := words[i]
		setting, ok := strings.CutPrefix(word, "--")
		if !ok {
			setting, ok = strings.CutPrefix(word, "-c")
			if ok && setting == "" && i+1 < len(words) {
				i++
				setting = words[i]
			}
		}
		name, value, valued := strings.Cut(setting, "=")
		if !ok || !valued || name == "" {
			return nil, sqlerr.Fatal("42601", "invalid command-line argument for server process: %s", word).
				WithHint("Allowed are \"-c name=value\" and \"--name=value\".")
		}
		out = append(out, session.Parameter{Name: strings.ReplaceAll(name, "-", "_"), Value: value})
	}
	return out, nil
}

func splitOptions(text string) []string {
	var words []string
	var word strings.Builder
	escaped, inWord := false, false
	for _, r := range text {
		blank := r == ' ' || r >= '\t' && r <= '\r'
		switch {
		case !escaped && r == '\\':
			escaped, inWord = true, true
		case !escaped && blank:
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(r)
			escaped, inWord = false, true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}

// negotiate tells a client that asked for a newer protocol, or for options of it,
// that it must do with 3.0.
func (c *conn) negotiate(s *startup) {
	if s.minor > 0 || len(s.unknown) > 0 {
		c.out.send(&pgproto3.NegotiateProtocolVersion{
			NewestMinorProtocol: protocolNewest,
			UnrecognizedOptions: s.unknown,
		})
	}
}
