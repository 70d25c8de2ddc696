package api

import "testing"

func TestJournalQuery(t *testing.T) {
	o := JournalOptions{Lines: -1, Since: "yesterday", Follow: true, Fields: true, Errors: true,
		After: map[string]string{"m2": "s=1;i=2", "m1": "p=3"}, Positions: true}
	if got, want := o.Query().Encode(),
		"after=m1~p%3D3&after=m2~s%3D1%3Bi%3D2&errors=true&fields=true&follow=true&lines=0&positions=true&since=yesterday"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
