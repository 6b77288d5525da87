package message_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// TestScripts plays testdata, from which a reader learns the bytes:
//
//	encode KIND     the fields as JSON (byte slices in base64) → the bytes in hex,
//	                which must decode to the same message
//	decode          bytes in hex → the kind and its fields, or the error
func TestScripts(t *testing.T) {
	kinds := map[string]reflect.Type{}
	for _, m := range everyMessage() {
		kinds[reflect.TypeOf(m).Name()] = reflect.TypeOf(m)
	}
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "encode":
				kind := kinds[d.CmdArgs[0].Key]
				if kind == nil {
					d.Fatalf(t, "no message %q", d.CmdArgs[0].Key)
				}
				into := reflect.New(kind)
				fields := json.NewDecoder(strings.NewReader(d.Input))
				fields.DisallowUnknownFields()
				require.NoError(t, fields.Decode(into.Interface()))
				m := into.Elem().Interface().(message.Message)
				encoded := message.Encode(m)
				back, err := message.Decode(encoded)
				require.NoError(t, err)
				require.Equal(t, m, back)
				return dump(encoded)
			case "decode":
				raw, err := hex.DecodeString(strings.Join(strings.Fields(d.Input), ""))
				require.NoError(t, err)
				m, err := message.Decode(raw)
				if err != nil {
					return err.Error() + "\n"
				}
				fields, err := json.Marshal(m)
				require.NoError(t, err)
				return fmt.Sprintf("%s %s\n", reflect.TypeOf(m).Name(), fields)
			default:
				d.Fatalf(t, "unknown command %q", d.Cmd)
				return ""
			}
		})
	})
}

// dump writes bytes in hex, sixteen a line, with the printable ones beside them.
func dump(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		line := b[:min(16, len(b))]
		b = b[len(line):]
		text := bytes.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return '.'
			}
			return r
		}, line)
		fmt.Fprintf(&out, "%-47s  |%s|\n", fmt.Sprintf("% x", line), text)
	}
	return out.String()
}
