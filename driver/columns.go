package driver

import (
	"database/sql/driver"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// scratch is the memory in which the values of a result's rows are made: one
// variable of each type that pgx scans into. It serves one result after the
// other, so that a result costs no allocation but its values'.
type scratch struct {
	columns []column

	truth     bool
	small     int16
	medium    int32
	whole     int64
	single    float32
	double    float64
	bytes     []byte
	text      string
	number    pgtype.Uint32
	date      pgtype.Date
	timestamp pgtype.Timestamp
	instant   pgtype.Timestamptz
}

// column makes the database/sql values of one column.
type column struct {
	plan pgtype.ScanPlan
	into any // the scratch's variable that the plan scans into
	take func(*scratch) (driver.Value, error)
}

// value makes a value of the column's bytes.
func (c *column) value(s *scratch, src []byte) (driver.Value, error) {
	if err := c.plan.Scan(src, c.into); err != nil {
		return nil, err
	}
	return c.take(s)
}

// plan chooses how the values of each column are made, with the results that
// pgx's stdlib gives, so that a program sees no difference when it changes
// drivers. What it returns is valid until it is called again.
func (s *scratch) plan(m *pgtype.Map, fields []pgconn.FieldDescription) []column {
	s.columns = s.columns[:0]
	for i := range fields {
		c := s.column(fields[i].DataTypeOID)
		c.plan = m.PlanScan(fields[i].DataTypeOID, fields[i].Format, c.into)
		s.columns = append(s.columns, c)
	}
	return s.columns
}

// column returns what a type's values are made of, without the plan.
func (s *scratch) column(oid uint32) column {
	switch oid {
	case pgtype.BoolOID:
		return column{into: &s.truth, take: func(s *scratch) (driver.Value, error) { return s.truth, nil }}
	case pgtype.Int2OID:
		return column{into: &s.small, take: func(s *scratch) (driver.Value, error) { return int64(s.small), nil }}
	case pgtype.Int4OID:
		return column{into: &s.medium, take: func(s *scratch) (driver.Value, error) { return int64(s.medium), nil }}
	case pgtype.Int8OID:
		return column{into: &s.whole, take: func(s *scratch) (driver.Value, error) { return s.whole, nil }}
	case pgtype.Float4OID:
		return column{into: &s.single, take: func(s *scratch) (driver.Value, error) { return float64(s.single), nil }}
	case pgtype.Float8OID:
		return column{into: &s.double, take: func(s *scratch) (driver.Value, error) { return s.double, nil }}
	case pgtype.ByteaOID, pgtype.JSONOID, pgtype.JSONBOID, pgtype.XMLOID:
		return column{into: &s.bytes, take: takeBytes}
	case pgtype.CIDOID, pgtype.OIDOID, pgtype.XIDOID:
		return column{into: &s.number, take: func(s *scratch) (driver.Value, error) { return s.number.Value() }}
	case pgtype.DateOID:
		return column{into: &s.date, take: func(s *scratch) (driver.Value, error) { return s.date.Value() }}
	case pgtype.TimestampOID:
		return column{into: &s.timestamp, take: func(s *scratch) (driver.Value, error) { return s.timestamp.Value() }}
	case pgtype.TimestamptzOID:
		return column{into: &s.instant, take: func(s *scratch) (driver.Value, error) { return s.instant.Value() }}
	default:
		return column{into: &s.text, take: takeText}
	}
}

// takeBytes and takeText forget what they return: it may be large, and the
// scratch lives long.
func takeBytes(s *scratch) (driver.Value, error) {
	v := s.bytes
	s.bytes = nil
	return v, nil
}

func takeText(s *scratch) (driver.Value, error) {
	v := s.text
	s.text = ""
	return v, nil
}
