package unitdetail

import (
	"fleettop/tui/screens"
)

// past is why the unit was where it was, and what had happened to it. Its file and its log are
// as of now, and aren't shown.
func (s *Screen) past(env *screens.Env, w int) []line {
	t := env.Theme
	out := []line{head(env, "Placement", w)}
	for _, r := range env.Snap.Of(s.unit) {
		where, why := r.Host, r.Reason
		if where == "" {
			where = "nowhere"
		}
		if why == "" {
			why = "why is not recorded"
		}
		out = append(out, under(line{{" " + where + ": ", t.Dim}}, why, t.Text, w-1)...)
	}
	return append(out, s.history(env, w)...)
}
