package etcdserver

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// parse reads members and candidates from a line such as "a:V b:L c:U d e!90s
// f:V!x g:V@h h:V!lost": a votes, b is a started learner, c one that never started, d
// is no member, e has been dead for 90 s, f left, g's machine is at http://h,
// h is alive and has lost its log.
func parse(t testing.TB, line string) (members []Member, candidates []Candidate) {
	t.Helper()
	for i, word := range strings.Fields(line) {
		word, dead, isDead := strings.Cut(word, "!")
		word, home, hasMoved := strings.Cut(word, "@")
		name, role, isMember := strings.Cut(word, ":")
		c := Candidate{Machine: name, PeerURL: "http://" + name, Alive: !isDead, Since: noon.Add(-time.Hour)}
		switch {
		case dead == "x":
			c.Left = true
		case dead == "leaving":
			c.Left, c.Alive = true, true
		case dead == "forgotten":
			c.Machine = ""
		case dead == "lost":
			c.Alive, c.Lost = true, uint64(i+1)
		case isDead:
			d, err := time.ParseDuration(dead)
			if err != nil {
				t.Fatal(err)
			}
			c.Since = noon.Add(-d)
		}
		url := c.PeerURL
		if hasMoved {
			c.PeerURL = "http://" + home
		}
		if c.Machine != "" {
			candidates = append(candidates, c)
		}
		if isMember {
			m := Member{ID: uint64(i + 1), Machine: name, PeerURL: url, Started: role != "U", Learner: role != "V"}
			if role == "U" {
				m.Machine = ""
			}
			members = append(members, m)
		}
	}
	return members, candidates
}

func TestNextStep(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"one machine", "a:V", ""},
		{"second machine stands by", "a:V b", "add learner b"},
		{"two machines are settled", "a:V b:L", ""},
		{"third machine", "a:V b:L c", "add learner c"},
		{"third has not started", "a:V b:L c:U", ""},
		{"third waits for the second to start", "a:V b:U c", ""},
		{"third doesn't wait for a dead second", "a:V b:U!5s c", "add learner c"},
		{"both are ready", "a:V b:L c:L", "promote b"},
		{"second of two promotions", "a:V b:V c:L", "promote c"},
		{"three machines are settled", "a:V b:V c:V", ""},
		{"four machines have three voters", "a:V b:V c:V d", ""},
		{"six machines have three voters", "a:V b:V c:V d e f", ""},
		{"seven machines grow to five", "a:V b:V c:V d e f g", "add learner d"},
		{"seven machines, second learner", "a:V b:V c:V d:L e f g", "add learner e"},
		{"seven machines, promotion", "a:V b:V c:V d:L e:L f g", "promote d"},
		{"five voters stay with six machines", "a:V b:V c:V d:V e:V f", ""},
		{"five voters stay with five machines", "a:V b:V c:V d:V e:V", ""},
		{"five voters, one gone, six machines", "a:V b:V c:V d:V e:V!10m f", "remove e"},
		{"voter lost its log", "a:V b:V c:V!lost", "remove c"},
		{"voter lost its log, removed", "a:V b:V c", "add learner c"},
		{"voter lost its log, learns", "a:V b:V c:U", ""},
		{"voter lost its log, four machines", "a:V b:V c:V!lost d", "remove c"},
		{"two of five lost their logs", "a:V b:V c:V!lost d:V!lost e:V", "remove c"},
		{"two of three lost their logs", "a:V b:V!lost c:V!lost", ""},
		{"the only voter lost its log", "a:V!lost b:L", ""},
		{"learner lost its log", "a:V b:L!lost", "remove b"},
		{"dead voter is waited for", "a:V b:V c:V!4m d", ""},
		{"dead voter is replaced", "a:V b:V c:V!5m d", "remove c"},
		{"dead voter is replaced, learner", "a:V b:V c!6m d", "add learner d"},
		{"dead voter is replaced, promotion", "a:V b:V c!6m d:L", "promote d"},
		{"dead voter without replacement stays", "a:V b:V c:V!24h", ""},
		{"dead voter, replacement is dead", "a:V b:V c:V!24h d!24h", ""},
		{"voter that left is replaced at once", "a:V b:V c:V!x d", "remove c"},
		{"voter that left, two machines remain", "a:V b:V c:V!x", "remove c"},
		{"two voters of two machines become one", "a:V b:V", "remove b"},
		{"forgotten voter", "a:V b:V c:V!forgotten d", "remove c"},
		{"forgotten learner", "a:V b:L!forgotten", "remove b"},
		{"no quorum", "a:V b:V!1h c:V!1h d e", ""},
		{"no quorum of two", "a:V b:V!x c", ""},
		{"restarting learner is waited for", "a:V b:L!10s", ""},
		{"dead learner is removed", "a:V b:L!30s", "remove b"},
		{"dead learner that never started", "a:V b:U!1m", "remove b"},
		{"dead learner, replacement", "a:V b!1m c", "add learner c"},
		{"only voter is leaving, nobody there", "a:V!leaving", ""},
		{"only voter is leaving, learner there", "a:V!leaving b:L", "promote b"},
		{"only voter is leaving, machine there", "a:V!leaving b", "add learner b"},
		{"leaving voter after its successor's promotion", "a:V!leaving b:V", "remove a"},
		{"interrupted growth without learner", "a:V b:V c", "add learner c"},
		{"interrupted growth, third is dead", "a:V b:V c!1h", "remove b"},
		{"interrupted growth, learner restarts", "a:V b:V c:L!5s", ""},
		{"four voters, four machines", "a:V b:V c:V d:V", "remove d"},
		{"four voters, dead one goes first", "a:V b:V!1m c:V d:V", "remove b"},
		{"superfluous learner", "a:V b:V c:V d:L", "remove d"},
		{"voter with another address", "a:V b:V@x c:V", "update-peer-url b http://x"},
		{"only voter with another address", "a:V@x b:L", "update-peer-url a http://x"},
		{"learner with another address", "a:V b:L@x", "update-peer-url b http://x"},
		{"dead voter with another address", "a:V b:V@x!1m c:V", ""},
		{"leaving voter with another address", "a:V b:V@x!leaving c:V", "remove b"},
		{"learner moved before its first start", "a:V b:U@x", "remove b"},
		{"voter moved to where another one was", "a:V b:V@c c:V@x", "update-peer-url c http://127.0.0.3:1"},
		{"voter moved to where a dead one was", "a:V b:V@c c:V!1m", "update-peer-url c http://127.0.0.3:1"},
		{"voter moved to where a forgotten one was", "a:V b:V@c c:V!forgotten", "update-peer-url c http://127.0.0.3:1"},
		{"new machine is where a dead voter was", "a:V b:V c:V!1m d@c", "update-peer-url c http://127.0.0.3:1"},
		{"voters changed places", "a:V b:V@c c:V@b", "update-peer-url b http://127.0.0.2:1"},
		{"two claim one address", "a:V b:V@c c:V", ""},
		{"new machine claims a voter's address", "a:V b@a c", "add learner c"},
		{"voter is where a learner was to start", "a:V b:V@c c:U@x d:V", "remove c"},
		{"nothing at all", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			members, candidates := parse(t, c.line)
			step, ok := NextStep(members, candidates, noon, DefaultReplaceAfter)
			got := ""
			if ok {
				got = string(step.Kind) + " " + step.Machine
				if step.Kind == UpdatePeerURL {
					got += " " + step.PeerURL
				} else if step.Machine == "" {
					got += strings.TrimPrefix(step.PeerURL, "http://")
				}
				if step.Reason == "" {
					t.Error("no reason")
				}
			}
			if got != c.want {
				t.Errorf("%q: got %q (%s), want %q", c.line, got, step.Reason, c.want)
			}
		})
	}
}

func TestLongestLivingMachineIsPreferred(t *testing.T) {
	members, candidates := parse(t, "a:V b c")
	candidates[2].Since = candidates[1].Since.Add(-time.Hour)
	if step, _ := NextStep(members, candidates, noon, DefaultReplaceAfter); step.Machine != "c" {
		t.Errorf("%s joins, want c, which has been alive for longer", step.Machine)
	}
}

// world is an etcd cluster on paper.
type world struct {
	members    []Member
	candidates []Candidate
	now        time.Time
	nextID     uint64
}

// candidate returns the machine that a member runs on, or may start on.
func (w *world) candidate(m Member) (found Candidate, ok bool) {
	for _, c := range w.candidates {
		elsewhere := slices.ContainsFunc(w.members, func(other Member) bool {
			return other.ID != m.ID &&
				other.Machine == c.Machine
		})
		if m.is(c) && !elsewhere && (!ok || c.Alive) {
			found, ok = c, true
		}
	}
	return found, ok
}

func (w *world) count() (voters, live int) {
	for _, m := range w.members {
		if m.Learner {
			continue
		}
		voters++
		if c, ok := w.candidate(m); ok && c.Alive && !m.isLostBy(c) {
			live++
		}
	}
	return voters, live
}

// do carries out a step as etcd would, and fails on what must not happen.
func (w *world) do(t *rapid.T, s Step) {
	i := slices.IndexFunc(w.members, func(m Member) bool { return m.ID == s.Member })
	switch s.Kind {
	case AddLearner:
		for _, m := range w.members {
			if m.PeerURL == s.PeerURL {
				t.Fatalf("%+v is a member already", s)
			}
		}
		w.nextID++
		w.members = append(w.members, Member{ID: w.nextID, PeerURL: s.PeerURL, Learner: true})
	case Promote:
		m := &w.members[i]
		if c, ok := w.candidate(*m); !m.Learner || !m.Started || !ok || !c.Alive || c.Left {
			t.Fatalf("promoted %+v, %+v", m, c)
		}
		m.Learner = false
	case UpdatePeerURL:
		if slices.ContainsFunc(w.members, func(m Member) bool { return m.PeerURL == s.PeerURL }) {
			t.Fatalf("%+v: a member is there already", s)
		}
		w.members[i].PeerURL = s.PeerURL
	case Remove:
		before, _ := w.count()
		w.members = slices.Delete(w.members, i, i+1)
		if after, live := w.count(); after == 0 || (after < before && live < quorum(after)) {
			t.Fatalf("%+v leaves %d of %d voters alive", s, live, after)
		}
	}
	if s.Reason == "" {
		t.Fatalf("%+v has no reason", s)
	}
}

// learn lets learners on living machines start.
func (w *world) learn() {
	for i := range w.members {
		m := &w.members[i]
		if c, ok := w.candidate(*m); ok && c.Alive && !m.isLostBy(c) {
			m.Machine, m.Started = c.Machine, true
		}
	}
}

func (w *world) next(t *rapid.T) (Step, bool) {
	step, ok := NextStep(w.members, w.candidates, w.now, DefaultReplaceAfter)
	members := rapid.Permutation(w.members).Draw(t, "members")
	candidates := rapid.Permutation(w.candidates).Draw(t, "candidates")
	if again, ok2 := NextStep(members, candidates, w.now, DefaultReplaceAfter); ok != ok2 || again != step {
		t.Fatalf("the order of the arguments matters: %+v, %+v", step, again)
	}
	return step, ok
}

func TestGrowthConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{now: noon, nextID: 1}
		machines := rapid.IntRange(1, 9).Draw(t, "machines")
		for i := range machines {
			name := fmt.Sprintf("m%d", i)
			w.candidates = append(w.candidates, Candidate{Machine: name, PeerURL: "http://" + name, Alive: true, Since: noon})
		}
		w.members = []Member{{ID: 1, Machine: "m0", PeerURL: "http://m0", Started: true}}
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "seconds")) * time.Second)
			c := &w.candidates[rapid.IntRange(0, machines-1).Draw(t, "machine")]
			free := func(url string) bool { // no machine that is alive has that address
				return !slices.ContainsFunc(w.candidates, func(other Candidate) bool { return other.Alive && other.PeerURL == url })
			}
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				if c.Alive {
					c.Alive, c.Since = false, w.now
				}
			case 1:
				if !c.Alive && free(c.PeerURL) {
					c.Alive, c.Since, c.Left = true, w.now, false
				}
			case 2:
				c.Alive, c.Since, c.Left = false, w.now, true
			case 3:
				c.Left = c.Alive // about to leave
			case 4:
				w.learn()
			case 5: // off for a moment, and back at another address
				if url := fmt.Sprintf("http://m%d", rapid.IntRange(0, 9).Draw(t, "address")); free(url) {
					c.PeerURL, c.Alive, c.Left = url, true, false
				}
			case 6: // its disk was replaced
				if i := slices.IndexFunc(w.members, func(m Member) bool {
					return m.Started &&
						m.Machine == c.Machine
				}); i >= 0 && c.Alive {
					c.Lost = w.members[i].ID
				}
			default:
				if step, ok := w.next(t); ok {
					w.do(t, step)
				}
			}
		}
		// The world stands still from here on, but for the clock.
		w.now = w.now.Add(time.Hour)
		steps := 0
		for {
			w.learn()
			step, ok := w.next(t)
			if !ok {
				break
			}
			w.do(t, step)
			if steps++; steps > 40 {
				t.Fatalf("no end after %d steps, the last: %+v; %+v", steps, step, w.members)
			}
		}
		w.check(t)
	})
}

// check holds a settled world against what was promised.
func (w *world) check(t *rapid.T) {
	voters, live := w.count()
	if live < quorum(voters) {
		return // nothing could be done
	}
	machines, alive, spares := 0, 0, 0
	for _, c := range w.candidates {
		if c.Left {
			continue
		}
		machines++
		if !c.Alive {
			continue
		}
		alive++
		if !slices.ContainsFunc(w.members, func(m Member) bool { return m.is(c) }) {
			spares++
		}
	}
	if machines == 0 || alive == 0 {
		return
	}
	if voters%2 == 0 {
		t.Fatalf("ended with %d voters, %d alive; %+v %+v", voters, live, w.members, w.candidates)
	}
	for _, m := range w.members {
		c, ok := w.candidate(m)
		if ok && m.isLostBy(c) {
			t.Fatalf("ended with %+v, whose log is lost", m)
		}
		if ok && c.Alive && !c.Left && m.PeerURL != c.PeerURL {
			t.Fatalf("ended with %+v, whose machine is at %s", m, c.PeerURL)
		}
		if m.Learner && (!ok || !c.Alive || c.Left) {
			t.Fatalf("ended with dead learner %+v", m)
		}
		// Without anybody to take its place, it is as good as any dead voter.
		if !m.Learner && (!ok || c.Left) && (spares > 0 || machines < 3) {
			t.Fatalf("ended with %+v voting, which left; %+v %+v", m, w.members, w.candidates)
		}
	}
	least := 1
	if machines >= 3 && alive >= 3 {
		least = 3
	}
	if machines >= 7 && alive >= 5 {
		least = 5
	}
	if live < least || voters > 5 {
		t.Fatalf("ended with %d voters, %d alive, of %d machines, %d alive", voters, live, machines, alive)
	}
}
