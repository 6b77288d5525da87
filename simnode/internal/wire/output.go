package wire

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/anywriter/anywriter/simnode/internal/session"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// outputBytes is when the buffer is written although nobody waits for it yet, as
// PostgreSQL's 8 KiB send buffer, but larger: rows in bulk cost fewer writes.
const outputBytes = 32 << 10

// output buffers answers and writes them when the protocol asks for it, or when
// much has gathered. It implements session.Output and session.Client.
type output struct {
	w      io.Writer
	buf    []byte
	err    error // sticky: the client cannot be reached
	result session.Result
	// beforeWrite is asked before a write that the protocol did not ask for.
	beforeWrite func() error
}

// send buffers one message.
func (o *output) send(m pgproto3.BackendMessage) {
	buf, err := m.Encode(o.buf)
	if err != nil {
		o.fatal(err)
		return
	}
	o.buf = buf
}

func (o *output) fatal(err error) {
	if o.err == nil {
		o.err = err
	}
}

// flush writes what is buffered.
func (o *output) flush() error {
	if o.err != nil {
		return o.err
	}
	if len(o.buf) == 0 {
		return nil
	}
	if _, err := o.w.Write(o.buf); err != nil {
		o.fatal(err)
	}
	if cap(o.buf) > 4*outputBytes {
		o.buf = nil
	}
	o.buf = o.buf[:0]
	return o.err
}

// Begin implements session.Output.
func (o *output) Begin(r session.Result) {
	o.result = r
	if !r.Describe {
		return
	}
	o.describe(r.Columns, r.Formats)
}

func (o *output) describe(columns []session.Column, formats []session.Format) {
	m := pgproto3.RowDescription{Fields: make([]pgproto3.FieldDescription, len(columns))}
	for i, c := range columns {
		size := int16(-1)
		if info, ok := types.Lookup(c.Type); ok {
			size = info.Length
		}
		m.Fields[i] = pgproto3.FieldDescription{
			Name:                 []byte(c.Name),
			TableOID:             c.TableOID,
			TableAttributeNumber: uint16(c.Attr),
			DataTypeOID:          c.Type,
			DataTypeSize:         size,
			TypeModifier:         c.TypMod,
			Format:               int16(formatOf(formats, i)),
		}
	}
	o.send(&m)
}

func formatOf(formats []session.Format, i int) session.Format {
	if formats == nil {
		return session.FormatText
	}
	return formats[i]
}

// Row implements session.Output.
func (o *output) Row(row types.Row) error {
	if o.err != nil {
		return o.err
	}
	start := len(o.buf)
	buf, err := appendDataRow(o.buf, row, &o.result)
	if err != nil {
		o.buf = o.buf[:start]
		return err
	}
	o.buf = buf
	if len(o.buf) < outputBytes {
		return nil
	}
	if err := o.beforeWrite(); err != nil {
		return err
	}
	return o.flush()
}

// appendDataRow writes a DataRow message.
func appendDataRow(buf []byte, row types.Row, r *session.Result) ([]byte, error) {
	start := len(buf)
	buf = append(buf, 'D', 0, 0, 0, 0)
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(row)))
	for i, d := range row {
		if d == nil {
			buf = append(buf, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		at := len(buf)
		buf = append(buf, 0, 0, 0, 0)
		var err error
		if formatOf(r.Formats, i) == session.FormatBinary {
			buf, err = types.AppendBinary(buf, r.Columns[i].Type, d)
		} else {
			buf, err = appendText(buf, r.Columns[i].Type, d, r.Style)
		}
		if err != nil {
			return nil, err
		}
		binary.BigEndian.PutUint32(buf[at:], uint32(len(buf)-at-4))
	}
	if len(buf)-start > 1<<30 {
		return nil, sqlerr.New("54000", "a row of %d bytes is too long, allowed is 1 GiB", len(buf)-start)
	}
	binary.BigEndian.PutUint32(buf[start+1:], uint32(len(buf)-start-1))
	return buf, nil
}

// Complete implements session.Output.
func (o *output) Complete(tag string) {
	o.send(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
}

// Suspended implements session.Output.
func (o *output) Suspended() { o.send(&pgproto3.PortalSuspended{}) }

// Empty implements session.Output.
func (o *output) Empty() { o.send(&pgproto3.EmptyQueryResponse{}) }

// Notice implements session.Client.
func (o *output) Notice(e *sqlerr.Error) {
	o.send((*pgproto3.NoticeResponse)(errorFields(e)))
}

func (o *output) error(e *sqlerr.Error) { o.send(errorFields(e)) }

// errorFields gives an error the form that the protocol sends.
func errorFields(e *sqlerr.Error) *pgproto3.ErrorResponse {
	severity := e.Severity
	if severity == "" {
		severity = "ERROR"
	}
	return &pgproto3.ErrorResponse{
		Severity:            severity,
		SeverityUnlocalized: severity,
		Code:                e.Code,
		Message:             e.Message,
		Detail:              e.Detail,
		Hint:                e.Hint,
		Position:            e.Position,
		SchemaName:          e.Schema,
		TableName:           e.Table,
		ColumnName:          e.Column,
		DataTypeName:        e.DataType,
		ConstraintName:      e.Constraint,
	}
}

// asError gives any error the form that a client sees. What is not a SQL error is
// a defect of the server or a broken connection, and hides its text.
func asError(err error) *sqlerr.Error {
	var e *sqlerr.Error
	if errors.As(err, &e) {
		return e
	}
	return sqlerr.New("XX000", "internal error: %v", err)
}
