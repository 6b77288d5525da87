package sqlerr

import "fmt"

// Error is one PostgreSQL error or notice, with the fields of "Error and Notice
// Message Fields" in the PostgreSQL manual. The zero value is not a legal error:
// Code and Message must be set. An empty Severity means ERROR.
type Error struct {
	Severity   string // ERROR, FATAL, PANIC, WARNING, NOTICE
	Code       string // SQLSTATE
	Message    string
	Detail     string
	Hint       string
	Position   int32 // 1-based character offset in the statement, 0 if none
	Schema     string
	Table      string
	Column     string
	DataType   string
	Constraint string
}

// New builds an Error of severity ERROR.
func New(code, format string, args ...any) *Error {
	return &Error{Severity: "ERROR", Code: code, Message: fmt.Sprintf(format, args...)}
}

// Fatal builds an Error that ends the session.
func Fatal(code, format string, args ...any) *Error {
	return &Error{Severity: "FATAL", Code: code, Message: fmt.Sprintf(format, args...)}
}

// Unsupported is 0A000 with the feature's name.
func Unsupported(feature string) *Error {
	return New("0A000", "%s is not supported by the simulated cluster", feature)
}

// Conflict is 40001 as both a statement and a COMMIT raise it; its detail says
// with what.
func Conflict() *Error {
	return New("40001", "could not serialize access due to concurrent update").
		WithHint("The transaction might succeed if retried.")
}

// WithDetail returns e with the detail set.
func (e *Error) WithDetail(format string, args ...any) *Error {
	e.Detail = fmt.Sprintf(format, args...)
	return e
}

// WithHint returns e with the hint set.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// At returns e with the position set (1-based, in characters).
func (e *Error) At(position int32) *Error {
	e.Position = position
	return e
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s (SQLSTATE %s)", e.severity(), e.Message, e.Code)
}

func (e *Error) severity() string {
	if e.Severity == "" {
		return "ERROR"
	}
	return e.Severity
}
