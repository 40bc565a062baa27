#!/bin/sh
# Makes the Envoy of sidecar.yaml the only way out of this network namespace, for every user except Envoy's own.
#
# Run it once, as root with NET_ADMIN and before any process of the agent starts: in an init container, for instance. It
# sends TCP to Envoy and DNS to the resolvers of /etc/resolv.conf, and refuses everything else: other DNS servers, QUIC,
# ICMP, and connections from outside. A second run replaces its own rules and leaves those of others alone.
# Lists of words are split on purpose.
# shellcheck disable=SC2086
set -euf

proxy_uid=1337 port=15001 ready_port=15021 inbound='' resolvers='' remove=

usage() {
  cat <<'USAGE'
Usage: redirect.sh [OPTIONS]

  --proxy-uid UID     the user that Envoy runs as, whom no rule restricts (1337)
  --port PORT         where Envoy accepts redirected connections (15001)
  --ready-port PORT   where Envoy reports that it is ready; open to the outside (15021)
  --inbound PORT      another TCP port that is open to the outside; can be repeated
  --resolver ADDRESS  the DNS server that processes may ask, instead of those in /etc/resolv.conf; can be repeated;
                      `none`: no DNS at all
  --remove            removes the rules, and with them every restriction of Weir's
USAGE
}

fail() {
  echo "redirect.sh: $*" >&2
  exit 1
}

number() {
  case $2 in '' | *[!0-9]* | ??????*) fail "$1 takes a number, not \"$2\"" ;; esac
  [ "$2" -gt 0 ] || fail "$1 takes a number above 0: root may not be the user whom no rule restricts"
}

while [ $# -gt 0 ]; do
  case $1 in
  --remove) remove=1 && shift && continue ;;
  -h | --help) usage && exit ;;
  --proxy-uid | --port | --ready-port | --inbound | --resolver) [ $# -gt 1 ] || fail "$1 takes a value" ;;
  *) usage >&2 && fail "unknown argument \"$1\"" ;;
  esac
  case $1 in
  --proxy-uid) number "$1" "$2" && proxy_uid=$2 ;;
  --port) number "$1" "$2" && port=$2 ;;
  --ready-port) number "$1" "$2" && ready_port=$2 ;;
  --inbound) number "$1" "$2" && inbound="$inbound $2" ;;
  --resolver) resolvers="$resolvers $2" ;;
  esac
  shift 2
done

if [ -z "$resolvers" ]; then
  resolvers=$(sed -n 's/^nameserver[[:space:]]\{1,\}\([^[:space:]]*\).*/\1/p' /etc/resolv.conf)
  # Without a name server, resolvers ask 127.0.0.1, Envoy's too: any process in the pod could answer there.
  [ -n "$resolvers$remove" ] || fail 'no name server is in /etc/resolv.conf; name one by --resolver'
fi

# All users that exist here, as ranges: in a user namespace iptables refuses users that the namespace does not have.
users() {
  [ -r /proc/self/uid_map ] || { echo 0-4294967294 && return; }
  while read -r first _ count; do echo "$first-$((first + count - 1))"; done </proc/self/uid_map
}

# The rules of one family for iptables-restore. The loop at the end sets what differs between the two families.
rules() {
  cat <<RULES
*nat
:WEIR_OUT - [0:0]
-A WEIR_OUT -m owner --uid-owner $proxy_uid -j RETURN
-A WEIR_OUT -o lo -j RETURN
RULES
  for resolver in $own_resolvers; do echo "-A WEIR_OUT -d $resolver -p tcp --dport 53 -j RETURN"; done
  cat <<RULES
-A WEIR_OUT -p tcp -j REDIRECT --to-ports $port
COMMIT
*filter
:WEIR_OUT - [0:0]
-A WEIR_OUT -m owner --uid-owner $proxy_uid -j ACCEPT
RULES
  # IPv6 looks for neighbours by ICMP, at first from no address. Reports of multicast groups (143) are not among these
  # types: a process that joins a group chooses 16 bytes of the report.
  for type in $neighbours; do echo "-A WEIR_OUT -p icmpv6 --icmpv6-type $type -j ACCEPT"; done
  # IPv6 lets every process write a foreign source (IPV6_FREEBIND). An answer to such a packet goes to that source: an
  # ICMP error would carry the packet out, in the kernel's name. So this drops it; REJECT would send such an error. On
  # lo, from port 53: a process that pretends to be a resolver, for Envoy to ask. A resolver never sends first.
  cat <<RULES
-A WEIR_OUT -m addrtype ! --src-type LOCAL -j DROP
-A WEIR_OUT -o lo -p udp --sport 53 -m conntrack --ctstate NEW -j REJECT
-A WEIR_OUT -o lo -p tcp --sport 53 -m conntrack --ctstate NEW -j REJECT
-A WEIR_OUT -o lo -j ACCEPT
-A WEIR_OUT -d $loopback -p tcp --dport $port -j ACCEPT
RULES
  for resolver in $own_resolvers; do
    echo "-A WEIR_OUT -d $resolver -p udp --dport 53 -j ACCEPT"
    echo "-A WEIR_OUT -d $resolver -p tcp --dport 53 -j ACCEPT"
  done
  for open in $inbound; do
    echo "-A WEIR_OUT -p tcp ! --syn --sport $open -m conntrack --ctstate ESTABLISHED --ctdir REPLY -j ACCEPT"
  done
  # Refuses everything else that a process sends, on established connections too: a connection of Envoy's that was just
  # closed counts as established, and the agent could continue it from the same port. What remains are the kernel's own
  # packets: the last ones (FIN, RST) to the peer of a process that is gone.
  users | while read -r range; do echo "-A WEIR_OUT -p tcp -m owner --uid-owner $range -j REJECT"; done
  cat <<RULES
-A WEIR_OUT -p tcp ! --syn -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A WEIR_OUT -p $icmp -m conntrack --ctstate ESTABLISHED --ctdir REPLY -j ACCEPT
-A WEIR_OUT -p $icmp -m conntrack --ctstate RELATED -j ACCEPT
-A WEIR_OUT -j REJECT
:WEIR_IN - [0:0]
-A WEIR_IN -i lo -j ACCEPT
-A WEIR_IN -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A WEIR_IN -p $icmp -j ACCEPT
RULES
  for open in $ready_port $inbound; do echo "-A WEIR_IN -p tcp --dport $open -j ACCEPT"; done
  cat <<RULES
-A WEIR_IN -j REJECT
:WEIR_THROUGH - [0:0]
-A WEIR_THROUGH -j REJECT
COMMIT
RULES
}

# One family: first all chains, atomically; then the jumps into them, where they are missing.
redirect() {
  rules | "$1-restore" --wait --noflush ||
    fail "$1 does not accept the rules; it needs NET_ADMIN, and the kernel needs nat, owner, addrtype and conntrack"
  for jump in 'filter OUTPUT WEIR_OUT' 'filter INPUT WEIR_IN' 'filter FORWARD WEIR_THROUGH' 'nat OUTPUT WEIR_OUT'; do
    set -- "$1" $jump
    "$1" -w -t "$2" -C "$3" -j "$4" 2>/dev/null || "$1" -w -t "$2" -I "$3" 1 -j "$4" ||
      fail "$1 accepts no rule in $3 of $2"
  done
}

remove() {
  for jump in 'nat OUTPUT WEIR_OUT' 'filter OUTPUT WEIR_OUT' 'filter INPUT WEIR_IN' 'filter FORWARD WEIR_THROUGH'; do
    set -- "$1" $jump
    while "$1" -w -t "$2" -D "$3" -j "$4" 2>/dev/null; do :; done
    "$1" -w -t "$2" -F "$4" 2>/dev/null && "$1" -w -t "$2" -X "$4"
  done
  return 0
}

command -v iptables-restore >/dev/null || fail 'iptables is missing; install the package iptables'
[ "$resolvers" != ' none' ] || resolvers=''
for resolver in $resolvers; do
  case $resolver in *[!0-9a-fA-F.:]*) fail "the resolver \"$resolver\" is no address" ;; esac
done
for family in 4 6; do
  case $family in
  4)
    tool=iptables loopback=127.0.0.1 icmp=icmp neighbours=''
    own_resolvers=$(printf '%s\n' $resolvers | grep -F . || true)
    ;;
  6)
    # Without IPv6 in the kernel there is nothing to restrict.
    [ -e /proc/net/if_inet6 ] || continue
    tool=ip6tables loopback=::1 icmp=icmpv6 neighbours='133 135 136'
    own_resolvers=$(printf '%s\n' $resolvers | grep -F : || true)
    ;;
  esac
  if [ -n "$remove" ]; then remove "$tool"; else redirect "$tool"; fi
done
if [ -n "$remove" ]; then
  echo 'redirect.sh: the rules are removed; no user is restricted'
else
  echo "redirect.sh: TCP goes to port $port, DNS to ${resolvers:-none}, the rest nowhere; user $proxy_uid is exempt"
fi
