package units

import (
	"reflect"
	"testing"
)

func TestRelations(t *testing.T) {
	for _, tt := range []struct {
		unit, content string
		want          Relations
	}{
		{"web.service", "[Service]\nExecStart=/bin/a\n", Relations{}},
		{"web.service", "[Unit]\nAfter=db.service network.target\nAfter=%p.socket\nBefore=proxy.service\n[Service]\nAfter=x.service\n",
			Relations{After: []string{"db.service", "network.target", "web.socket"}, Before: []string{"proxy.service"}}},
		{"web@1.service", "[Unit]\nAfter=db@%i.service host-%H.service\n[Service]\nExecStart=/bin/a\n", Relations{After: []string{"db@1.service"}}},
		{"web.service", "[Unit]\nAfter=a.service\nAfter=\nAfter=b.service\n", Relations{After: []string{"b.service"}}},
		{"web.socket", "[Socket]\nListenStream=80\n", Relations{Starts: "web.service"}},
		{"web@1.socket", "[Socket]\nListenStream=80\n", Relations{Starts: "web@1.service"}},
		{"web.socket", "[Socket]\nListenStream=80\nService=other.service\n", Relations{Starts: "other.service"}},
		{"web.socket", "[Socket]\nListenStream=80\nAccept=yes\n", Relations{}},
		{"web.timer", "[Timer]\nOnBootSec=1\nUnit=%p-job.service\n", Relations{Starts: "web-job.service"}},
		{"web.path", "[Path]\nPathExists=/a\n", Relations{Starts: "web.service"}},
		{"srv-data.automount", "[Automount]\nWhere=/srv/data\n", Relations{Starts: "srv-data.mount"}},
		{"web.target", "[Unit]\nWants=a.service\n", Relations{Pulls: []string{"a.service"}}},
		{"side.service", "[Unit]\nBindsTo=web.service\nUpholds=x.service\n[Install]\nWantedBy=multi-user.target\n",
			Relations{Follows: []string{"web.service"}, Pulls: []string{"web.service", "x.service"},
				PulledBy: []string{"multi-user.target"}, Binds: []string{"web.service"}}},
	} {
		if got := mustParse(t, tt.content).Relations(mustName(t, tt.unit)); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n%sgot  %+v\nwant %+v", tt.unit, tt.content, got, tt.want)
		}
	}
}
