package membership

import (
	"testing"
	"time"
)

func TestWrongAccusationsGetRarer(t *testing.T) {
	now := time.Unix(1000, 0)
	tb := newTable("a")
	tb.present("b", "1", nil, now)
	accuse := func() bool {
		if !tb.accusations.allowed(now) {
			return false
		}
		tb.accusations.accused("b")
		tb.suspected("b", now, now.Add(time.Minute), now)
		return true
	}
	// For ten seconds every probe fails and is answered a moment later.
	count := 0
	for range 100 {
		if accuse() {
			count++
		}
		now = now.Add(50 * time.Millisecond)
		tb.seen("b", now)
		now = now.Add(50 * time.Millisecond)
	}
	if count < 4 || count > 8 {
		t.Errorf("accused %d times in ten seconds, expected 0.2 s, 0.4 s … 5 s between", count)
	}
	now = now.Add(accuseMemory + accuseMost)
	for i := range 2 {
		if !accuse() {
			t.Fatalf("accusation %d after a quiet time is not allowed", i+1)
		}
		tb.seen("b", now)
		now = now.Add(accusePause)
	}
	// One that was right is no reason to be silent.
	now = now.Add(accuseMemory + accuseMost)
	accuse()
	tb.gone("b", Failed, now)
	if !tb.accusations.allowed(now) {
		t.Error("silent after an accusation that was right")
	}
	// Nor is a suspicion of another member's.
	tb.present("b", "1", nil, now)
	tb.suspected("b", now, now.Add(time.Minute), now)
	tb.seen("b", now)
	if !tb.accusations.allowed(now) {
		t.Error("silent after another member's wrong accusation")
	}
}
