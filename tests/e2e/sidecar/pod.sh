# A pod and the internet: two network namespaces with a virtual cable. The test starts this in new namespaces (mount,
# network, process), as root there. In the pod's mount namespace every file has its path from docs/sidecar.md.
#
# $POD is the folder of the test: etc/ (what becomes /etc/envoy), names (for the name servers), origin.pem and origin.key.
set -eu

mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
mkdir -p /run/netns /run/weir
touch /run/envoy
mount --bind "$ENVOY" /run/envoy
ip netns add internet

# The cable. The pod's addresses are private, as a cluster's are; the internet's are public ones.
ip link add eth0 type veth peer name eth0 netns internet
ip link set lo up
ip address add 10.1.0.2/24 dev eth0
ip -6 address add fd00:1::2/64 dev eth0 nodad
ip link set eth0 up
outside() { ip netns exec internet "$@"; }
outside ip link set lo up
outside ip address add 10.1.0.1/24 dev eth0
outside ip -6 address add fd00:1::1/64 dev eth0 nodad
outside ip link set eth0 up
for last in 1 2 3 53; do
  outside ip address add 20.0.0.$last/32 dev lo
  outside ip -6 address add 2600:1::$last/128 dev lo nodad
done
ip route add default via 10.1.0.1
ip -6 route add default via fd00:1::1

outside "$PYTHON" "$SOURCE/internet.py" "$POD" 2>"$POD/internet.log" &
until [ -e "$POD/internet-is-up" ]; do
  kill -0 $! || { cat "$POD/internet.log" >&2 && exit 1; }
  sleep 0.05
done

# What the pod's containers see: its resolver, and the files of the sidecar.
mkdir -p "$POD/upper"
mount -t tmpfs tmpfs "$POD/upper"
mkdir "$POD/upper/etc" "$POD/upper/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$POD/upper/etc,workdir=$POD/upper/work" /etc
printf 'nameserver 10.1.0.1\noptions ndots:1\n' >"$POD/resolv.conf"
mount --bind "$POD/resolv.conf" /etc/resolv.conf
printf '127.0.0.1 localhost\n::1 localhost\n' >"$POD/hosts"
mount --bind "$POD/hosts" /etc/hosts
mkdir -p /etc/envoy
mount --bind "$POD/etc" /etc/envoy
chown 1337:1337 /run/weir
chmod 700 /run/weir

echo ready
# The namespaces live as long as the test holds this end open.
cat >/dev/null
