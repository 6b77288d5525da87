package role

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func writer(system string, timeline uint32) Claim {
	return Claim{Role: Writer, System: system, Timeline: timeline}
}

func standby(system string) Claim {
	return Claim{Role: ReadOnly, Reason: ReasonRecovery, System: system}
}

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		claims []Claim
		want   []Role
		by     []int // of the superseded ones, in order
	}{
		"nobody":                      {nil, []Role{}, nil},
		"nobody has answered":         {[]Claim{{}, {}}, []Role{Unknown, Unknown}, nil},
		"a primary and its standbys":  {[]Claim{writer("a", 1), standby("a"), standby("a")}, []Role{Writer, ReadOnly, ReadOnly}, nil},
		"two standbys, nobody writes": {[]Claim{standby("a"), standby("a")}, []Role{ReadOnly, ReadOnly}, nil},
		"an old primary":              {[]Claim{writer("a", 1), writer("a", 2)}, []Role{Superseded, Writer}, []int{1}},
		"in the other order":          {[]Claim{writer("a", 7), writer("a", 3)}, []Role{Writer, Superseded}, []int{0}},
		"two old primaries":           {[]Claim{writer("a", 1), writer("a", 3), writer("a", 2)}, []Role{Superseded, Writer, Superseded}, []int{1, 1}},
		"equal timelines":             {[]Claim{writer("a", 2), writer("a", 2)}, []Role{Writer, Writer}, nil},
		"equal ones above an old one": {[]Claim{writer("a", 2), writer("a", 2), writer("a", 1)}, []Role{Writer, Writer, Superseded}, []int{0}},
		"other systems":               {[]Claim{writer("a", 1), writer("b", 2)}, []Role{Writer, Writer}, nil},
		"no systems":                  {[]Claim{writer("", 1), writer("", 2)}, []Role{Writer, Writer}, nil},
		"an unknown timeline":         {[]Claim{writer("a", 0), writer("a", 2)}, []Role{Writer, Writer}, nil},
		"a former primary that follows": {
			[]Claim{{Role: ReadOnly, Reason: ReasonRecovery, System: "a", Timeline: 5}, writer("a", 2)},
			[]Role{ReadOnly, Writer},
			nil,
		},
		"a read-only node that refuses": {
			[]Claim{{Role: ReadOnly, Reason: ReasonRefused, System: "a"}, writer("a", 1)}, []Role{ReadOnly, Writer}, nil,
		},
	} {
		roles, by := []Role{}, []int(nil)
		for i := range c.claims {
			v := Judge(c.claims, i)
			roles = append(roles, v.Role)
			if v.Role != Superseded {
				require.Equal(t, Verdict{Role: v.Role, Reason: c.claims[i].Reason}, v, name)
				continue
			}
			by = append(by, v.By)
			require.Equal(t, ReasonTimeline, v.Reason, name)
			require.Equal(t, []uint32{c.claims[i].Timeline, c.claims[v.By].Timeline}, []uint32{v.Old, v.New}, name)
			require.Less(t, v.Old, v.New, name)
		}
		require.Equal(t, c.want, roles, name)
		require.Equal(t, c.by, by, name)
	}
}

func TestRival(t *testing.T) {
	claims := []Claim{writer("a", 1), standby("a"), writer("b", 1), writer("a", 2), writer("", 1), writer("", 1)}
	got := make([]int, 0, len(claims))
	for i := range claims {
		got = append(got, Rival(claims, i))
	}
	require.Equal(t, []int{3, -1, -1, 0, -1, -1}, got)
}

func TestAnswered(t *testing.T) {
	for answer, want := range map[string]Claim{
		AnswerWriter:   {Role: Writer},
		AnswerChosen:   {Role: Writer, Chosen: true},
		AnswerReadOnly: {Role: ReadOnly, Reason: ReasonDefault},
		AnswerStandby:  {Role: ReadOnly, Reason: ReasonRecovery},
		AnswerMinority: {Role: ReadOnly, Reason: ReasonMinority},
	} {
		got, ok := Answered(answer)
		require.True(t, ok, answer)
		require.Equal(t, want, got, answer)
	}
	for _, answer := range []string{"", "t", "Writer", "read only"} {
		_, ok := Answered(answer)
		require.False(t, ok, answer)
	}
}

func TestNames(t *testing.T) {
	for r := Unknown; r <= Superseded; r++ {
		require.NotEmpty(t, r.String())
	}
	require.Equal(t, "Unknown", Role(99).String())
	for r := ReasonRecovery; r <= ReasonMinority; r++ {
		require.NotEmpty(t, r.String())
	}
	require.Empty(t, Reason(99).String()+ReasonNone.String())
}
