package session

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

func testSettings() *settings { return newSettings(newCatalogue("c", "1", "dev"), "me") }

func assign(t *testing.T, s *settings, name, value string, local bool) {
	t.Helper()
	key, canonical, err := s.check(name, value)
	require.NoError(t, err)
	s.set(key, canonical, local)
}

// TestSettingsUndo plays one setting through transactions and savepoints.
func TestSettingsUndo(t *testing.T) {
	s := testSettings()
	value := func() string { return s.value(keyApplicationName) }
	assign(t, s, keyApplicationName, "session", false)

	assign(t, s, keyApplicationName, "local", true)
	require.Equal(t, "local", value())
	save := s.mark()
	assign(t, s, keyApplicationName, "set", false)
	require.Equal(t, "set", value(), "SET wins over SET LOCAL before it")
	s.rollbackTo(save)
	require.Equal(t, "local", value())
	s.end()
	require.Equal(t, "session", value(), "SET LOCAL ends with the transaction")

	start := s.mark()
	assign(t, s, keyApplicationName, "new", false)
	assign(t, s, keyApplicationName, "local", true)
	s.end()
	require.Equal(t, "new", value(), "SET under a SET LOCAL stays")
	s.rollbackTo(start)
	require.Equal(t, "session", value())
	s.resetAll()
	require.Equal(t, "", value())
}

// TestReported: the client learns all reported settings first, and each change
// once.
func TestReported(t *testing.T) {
	s := testSettings()
	first := s.changed()
	require.Greater(t, len(first), 12)
	for i := 1; i < len(first); i++ {
		require.Less(t, strings.ToLower(first[i-1].Name), strings.ToLower(first[i].Name))
	}
	require.Empty(t, s.changed())
	assign(t, s, "timezone", "Europe/Berlin", false)
	require.Equal(t, []Parameter{{"TimeZone", "Europe/Berlin"}}, s.changed())
	assign(t, s, "timezone", "UTC", true)
	assign(t, s, "timezone", "Europe/Berlin", true)
	require.Empty(t, s.changed(), "what changed back is not told")
	assign(t, s, keyStatementTimeout, "5", false)
	require.Empty(t, s.changed(), "not a reported setting")
	require.Equal(t, 5*time.Millisecond, s.cached.statementTimeout)
}

func TestValues(t *testing.T) {
	s := testSettings()
	for _, c := range []struct{ name, value, want string }{
		{"statement_timeout", "1000", "1s"},
		{"statement_timeout", " 90 s ", "90s"},
		{"statement_timeout", "1.5min", "90s"},
		{"statement_timeout", "2d", "2d"},
		{"statement_timeout", "500us", "0"},
		{"statement_timeout", "-1", "22023 -1 ms is outside the valid range for parameter \"statement_timeout\" (0 .. 2147483647)"},
		{"statement_timeout", "1h30min", "22023 invalid value for parameter \"statement_timeout\": \"1h30min\""},
		{"statement_timeout", "0x10", "22023 invalid value for parameter \"statement_timeout\": \"0x10\""},
		{"statement_timeout", "NaN", "22023 invalid value for parameter \"statement_timeout\": \"NaN\""},
		{"work_mem", "1GB", "1GB"},
		{"work_mem", "2048", "2MB"},
		{"extra_float_digits", "-15", "-15"},
		{"jit", "FALSE", "off"},
		{"jit", "o", "22023 parameter \"jit\" requires a Boolean value"},
		{"jit", "", "22023 parameter \"jit\" requires a Boolean value"},
		{"jit", "of", "off"},
		{"application_name", "a\tb", "a?b"},
		{"application_name", strings.Repeat("x", 80), strings.Repeat("x", 63)},
		{"search_path", `"$user", public`, `"$user", public`},
		{"search_path", "", ""},
		{"search_path", "a b", "22023 invalid value for parameter \"search_path\": \"a b\""},
		{"client_encoding", "latin1", "22023 invalid value for parameter \"client_encoding\": \"latin1\""},
		{"a.b", "x", "x"},
		{"a.", "x", "42704 unrecognized configuration parameter \"a.\""},
		{"simnode.x", "x", "42704 unrecognized configuration parameter \"simnode.x\""},
		{"server_version", "x", "55P02 parameter \"server_version\" cannot be changed"},
		{"default_transaction_isolation", "SERIALIZABLE", "0A000 isolation level SERIALIZABLE is not supported by the simulated cluster"},
		{"default_transaction_isolation", "Read Uncommitted", "read uncommitted"},
	} {
		_, got, err := s.check(c.name, c.value)
		if err != nil {
			e := err.(*sqlerr.Error)
			got = e.Code + " " + e.Message
		}
		require.Equal(t, c.want, got, "%s = %q", c.name, c.value)
	}
}

func TestSearchPath(t *testing.T) {
	for value, want := range map[string]catalog.Path{
		``:                                  {},
		` a , "B""c" ,"$user",$user`:        {"a", `B"c`, "me", "me"},
		`"a, b"`:                            {"a, b"},
		`""`:                                {""},
		"A\t,\nb":                           {"a", "b"},
		`"` + strings.Repeat("x", 70) + `"`: {strings.Repeat("x", 63)},
	} {
		s := testSettings()
		assign(t, s, "search_path", value, false)
		require.Equal(t, want, s.cached.path, value)
	}
	for _, value := range []string{"a b", "a,", ",a", "a,,b", `"a`, `"a" b`, ","} {
		_, _, err := testSettings().check("search_path", value)
		require.ErrorContains(t, err, "invalid value for parameter \"search_path\"", value)
	}
	require.Equal(t, catalog.Path{"me", "public"}, testSettings().cached.path)
}

func TestTimeZones(t *testing.T) {
	summer := time.Date(2024, 7, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ value, canonical, clock string }{
		{"UTC", "UTC", "12:00"},
		{"utc", "UTC", "12:00"},
		{"Europe/Berlin", "Europe/Berlin", "14:00"},
		{"america/new_york", "America/New_York", "08:00"},
		{"-8", "<-08>+08", "04:00"},
		{"5.5", "<+05:30>-05:30", "17:30"},
		{"<-08>+08", "<-08>+08", "04:00"},
		{"+05:30", "+05:30", "06:30"}, // POSIX counts west of UTC
		{"-02:00", "-02:00", "14:00"},
	} {
		canonical, err := checkTimeZone("TimeZone", c.value)
		require.NoError(t, err, c.value)
		require.Equal(t, c.canonical, canonical)
		require.Equal(t, c.clock, summer.In(location(canonical)).Format("15:04"), c.value)
	}
	for _, bad := range []string{"", "Mars/Phobos", "../etc/passwd", "999", "+99:99", "<x>", "1:2:3"} {
		_, err := checkTimeZone("TimeZone", bad)
		require.Error(t, err, bad)
	}
}

func TestCountedTag(t *testing.T) {
	require.Equal(t, "INSERT 0 3", countedTag("INSERT 0 7", 3))
	require.Equal(t, "SHOW", countedTag("SHOW", 3))
}
