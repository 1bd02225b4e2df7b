# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be done with a guest: create, clone, change, resize, start, stop, remove.

In the order and the words of qemu-server (its repository's state of August 2026): first what is checked while the
client waits, then what the task does.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import secrets
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from . import cloudinit
from .access import ROOT, Refused, denied
from .formats import DRIVE, Card, Drive, parse_size, print_size, split_list, unique_tags
from .machines import Boot, MachineError
from .state import Cluster, Guest, Task, Volume, die

#: Options that a running guest gets at once: they do not concern QEMU (all of cloud-init's too).
AT_ONCE = frozenset("description hookscript lock name onboot protection shares startup tags vmstatestorage".split())
CLOUDINIT_SIZE = parse_size("4M")

# Which privilege a change of an option needs; what stands nowhere may be changed by root@pam alone.
_PRIVILEGES = {
    "VM.Config.CPU": "cores cpu cpulimit cpuunits numa smp sockets vcpus",
    "VM.Config.Memory": "memory balloon shares allow-ksm",
    "VM.Config.HWType": "acpi hotplug kvm machine scsihw smbios1 tablet vga watchdog audio0 rng0",
    "VM.Config.Options": "agent autostart bios description keyboard localtime migrate_downtime migrate_speed name "
    "onboot ostype protection reboot startdate startup tdf template vmgenid",
    "VM.PowerMgmt": "freeze",
    "VM.Config.Disk": "boot bootdisk vmstatestorage",
}
PRIVILEGE_OF = {option: privilege for privilege, options in _PRIVILEGES.items() for option in options.split()}
CLOUDINIT_OPTIONS = frozenset("cicustom cipassword citype ciuser ciupgrade nameserver searchdomain sshkeys".split())


def wrong(name: str, why: str) -> Refused:
    """A parameter is wrong: 400."""
    return Refused(400, "Parameter verification failed.", {name: why})


class Actions:
    """What users can do with guests of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.access = cluster.access

    # --- privileges that stand in the description's prose only

    def check_bridges(self, who: str, cards: Iterable[Card]) -> None:
        """SDN.Use on every bridge, or on its VLAN."""
        for card in cards:
            bridge, tag = card.options.get("bridge"), card.options.get("tag")
            if bridge:
                self.access.require(who, f"/sdn/zones/localnetwork/{bridge}" + (f"/{tag}" if tag else ""), "SDN.Use")

    def check_option(self, who: str, vmid: int, name: str, pool: str = "") -> None:
        """The privilege that a change of this option needs. Raises Refused."""
        if who == ROOT or DRIVE.fullmatch(name) or name == "tags" or re.fullmatch(r"(unused|serial)\d+", name):
            return  # those need more than the name to be judged
        if name in PRIVILEGE_OF:
            self.require(who, vmid, pool, PRIVILEGE_OF[name])
            if name == "startup":
                self.access.require(who, "/", "Sys.Modify")
        elif re.fullmatch(r"net\d+", name):
            self.require(who, vmid, pool, "VM.Config.Network")
        elif name in CLOUDINIT_OPTIONS or re.fullmatch(r"ipconfig\d+", name):
            self.require(who, vmid, pool, "VM.Config.Cloudinit", "VM.Config.Network", any_of=True)
        elif re.fullmatch(r"numa\d+", name):
            self.require(who, vmid, pool, "VM.Config.CPU")
        else:
            raise die(f"only root can set '{name}' config")

    def require(self, who: str, vmid: int, pool: str, *privileges: str, any_of: bool = False) -> None:
        """Privileges on a guest, or on the pool that it will be in."""
        if not (pool and self.access.may(who, f"/pool/{pool}", privileges, any_of=any_of)):
            self.access.require(who, f"/vms/{vmid}", *privileges, any_of=any_of)

    def check_tags(self, who: str, vmid: int, old: str, new: str) -> None:
        """The datacenter's tag policy. Raises Refused."""
        self.access.require(who, f"/vms/{vmid}", "VM.Config.Options")
        if self.access.may(who, "/", ["Sys.Modify"]):
            return
        settings = self.cluster.settings
        allowed: set[str] = set()
        if settings.user_allow in ("existing", "list"):
            allowed |= set(settings.user_allow_list)
        if settings.user_allow == "existing":
            for guest in self.cluster.guests.values():
                allowed |= set(split_list(str(guest.config.get("tags", ""))))
        for tag in sorted(set(split_list(old)) ^ set(split_list(new))):
            if tag in settings.registered_tags or (settings.user_allow != "free" and tag not in allowed):
                raise denied(f"/, Sys.Modify for modifying tag '{tag}'")

    def _check_drive(self, who: str, vmid: int, drive: Drive, pool: str = "") -> None:
        if drive.is_cloudinit:
            self.require(who, vmid, pool, "VM.Config.Cloudinit", "VM.Config.CDROM", any_of=True)
        else:
            self.require(who, vmid, pool, "VM.Config.CDROM" if drive.is_cdrom else "VM.Config.Disk")

    # --- clone

    def clone(self, who: str, source: Guest, values: Mapping[str, Any]) -> str:
        """POST clone: the task's UPID."""
        cluster = self.cluster
        pool, target, storage = values.get("pool"), values.get("target"), values.get("storage")
        if pool and pool not in cluster.pools:
            raise denied(f"pool '{pool}' does not exist")
        if target == source.node:
            target = None
        if target and target not in cluster.nodes:
            raise die(f"no such cluster node '{target}'")
        if storage:
            found = cluster.storage(storage, source.node)
            if "images" not in found.content.split(","):
                raise wrong("storage", f"storage '{storage}' does not support vm images")
            if target:
                cluster.storage(storage, target)
                if not found.shared:
                    raise die(f"can't clone to non-shared storage '{storage}'")
        cluster.check_quorum()
        source.check_lock()
        if values.get("snapname"):
            raise die(f"snapshot '{values['snapname']}' does not exist")
        full = bool(values.get("full", not source.template))
        for name in ("storage", "format"):
            if values.get(name) is not None and not full:
                raise die(f"parameter '{name}' not allowed for linked clones")
        shared = self._check_storages_of_clone(who, source, storage)
        self.check_bridges(who, source.cards.values())
        if target and not shared:
            raise die(f"can't clone VM to node '{target}' (VM uses local storage)")
        vmid = int(values["newid"])
        if vmid in cluster.guests:
            raise die(f"unable to create VM {vmid}: config file already exists")
        for key, drive in source.drives.items():
            if drive.is_cdrom or full:
                continue
            base = drive.volume.partition(":")[2].rpartition("/")[2].startswith("base-")
            if not cluster.storages[drive.storage].linked_clones or not base:
                raise die(f"Linked clone feature is not supported for '{drive.volume}' ({key})")
        return self._begin_clone(who, source, vmid, values, full, target)

    def _check_storages_of_clone(self, who: str, source: Guest, storage: str | None) -> bool:
        shared = True
        for drive in source.drives.values():
            if not drive.storage:
                continue
            shared = shared and self.cluster.storages[drive.storage].shared
            if not drive.is_cdrom:
                self.access.require(who, f"/storage/{storage or drive.storage}", "Datastore.AllocateSpace")
        return shared

    def _begin_clone(
        self, who: str, source: Guest, vmid: int, values: Mapping[str, Any], full: bool, target: str | None
    ) -> str:
        cluster = self.cluster
        guest = Guest(vmid, source.node, {"lock": "clone"}, image=source.image, origin=source.vmid)
        cluster.guests[vmid] = guest

        async def work(task: Task) -> None:
            task.log.append(f"create {'full' if full else 'linked'} clone of VM {source.vmid}")
            config = {key: value for key, value in source.config.items() if not key.startswith("unused")}
            for key in ("template", "lock", "parent"):
                config.pop(key, None)
            for key, card in source.cards.items():
                config[key] = str(dataclasses.replace(card, mac=random_mac()))
            config["smbios1"] = f"uuid={uuid.uuid4()}"
            if "vmgenid" in config:
                config["vmgenid"] = str(uuid.uuid4())
            config["name"] = values.get("name") or f"Copy-of-VM-{source.config.get('name', source.vmid)}"
            if values.get("description"):
                config["description"] = str(values["description"]).rstrip()
            for key, drive in source.drives.items():
                if drive.is_cloudinit or not drive.is_cdrom:
                    config[key] = str(self._clone_drive(drive, vmid, values.get("storage"), full))
            guest.config, guest.disk = config, cluster.new_disk()
            guest.node = target or source.node
            if values.get("pool"):
                cluster.access.pools[values["pool"]].add(f"/vms/{vmid}")

        def undo() -> None:
            self.cluster.forget(guest.vmid)

        seconds = cluster.settings.clone_seconds if full else min(cluster.settings.clone_seconds, 0.2)
        return cluster.fork("qmclone", source.vmid, source.node, who, work, seconds, undo)

    def _clone_drive(self, drive: Drive, vmid: int, storage: str | None, full: bool) -> Drive:
        cluster = self.cluster
        found = cluster.storages[(storage if full or drive.is_cloudinit else None) or drive.storage]
        old = cluster.volumes[drive.volume]
        if drive.is_cloudinit:
            volume = found.volume(vmid, f"vm-{vmid}-cloudinit")
            cluster.volumes[volume] = Volume(old.size, vmid)
            return Drive(volume, dict(drive.options))
        name = cluster.free_disk_name(vmid, found)
        volume = found.volume(vmid, name, "qcow2")
        if not full and (found.files or found.type == "zfspool"):
            volume = f"{drive.volume}/{volume.partition(':')[2]}"  # such volumes name what they are based on
        cluster.volumes[volume] = Volume(old.size, vmid, "" if full else drive.volume)
        return Drive(volume, {**drive.options, "size": print_size(old.size)})

    # --- create

    def create(self, who: str, vmid: int, node: str, values: Mapping[str, Any]) -> str:
        """POST qemu: the task's UPID. No restore."""
        cluster = self.cluster
        pool = values.get("pool", "")
        if pool and pool not in cluster.pools:
            raise denied(f"pool '{pool}' does not exist")
        self.require(who, vmid, pool, "VM.Allocate")
        cluster.check_quorum()
        if vmid in cluster.guests:
            raise die(f"unable to create VM {vmid} - VM {vmid} already exists on node '{cluster.guests[vmid].node}'")
        config = {key: value for key, value in values.items() if key not in ("pool", "start", "storage", "unique")}
        for key, value in config.items():
            self.check_option(who, vmid, key, pool)
            if DRIVE.fullmatch(key):
                self._check_new_drive(who, key, Drive.parse(str(value)), node)
            elif re.fullmatch(r"serial\d+", key):
                if value != "socket" and who != ROOT:
                    raise die(f"only root can set '{key}' config for real devices")
                self.require(who, vmid, pool, "VM.Config.HWType")
        self.check_bridges(who, [Card.parse(str(value)) for key, value in config.items() if key.startswith("net")])
        guest = Guest(vmid, node, {"lock": "create"})
        cluster.guests[vmid] = guest

        async def work(task: Task) -> None:
            made = Guest(vmid, node, {"smbios1": f"uuid={uuid.uuid4()}", "vmgenid": str(uuid.uuid4())})
            for key in sorted(config):
                made.config[key] = self._stored(made, key, config)
            guest.config, guest.disk, guest.image = made.config, cluster.new_disk(), made.image
            if pool:
                cluster.access.pools[pool].add(f"/vms/{vmid}")

        return cluster.fork("qmcreate", vmid, node, who, work, undo=lambda: self.cluster.forget(guest.vmid))

    def _check_new_drive(self, who: str, key: str, drive: Drive, node: str) -> None:
        """A drive of a guest that is made takes rights on its storage alone, and on that of what it is made of."""
        cluster, source = self.cluster, drive.options.get("import-from", "")
        if drive.storage and not drive.is_cdrom and not drive.is_cloudinit:
            self.access.require(who, f"/storage/{drive.storage}", "Datastore.AllocateSpace")
            if "images" not in cluster.storage(drive.storage, node).content.split(","):
                raise wrong("storage", f"storage '{drive.storage}' does not support vm images")
        if not source:
            return
        if source.startswith("/"):
            if who != ROOT:
                raise die("Only root can pass arbitrary filesystem paths.")
            return
        storage, _colon, name = source.partition(":")
        cluster.storage(storage, node)
        if name.startswith("import/"):
            any_of = ("Datastore.AllocateSpace", "Datastore.Audit", "Datastore.Allocate")
            self.access.require(who, f"/storage/{storage}", *any_of, any_of=True)
        elif source in cluster.volumes:
            self.access.require(who, f"/vms/{cluster.volumes[source].vmid}", "VM.Clone")
        else:
            raise wrong(key, f"{source} has wrong type - needs to be 'images' or 'import'")
        if not drive.volume.endswith(":0"):
            why = "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>"
            raise wrong(key, why)

    def make_template(self, who: str, guest: Guest) -> str:
        """POST template: the task's UPID."""
        guest.check_lock()
        if guest.template:
            raise die("you can't convert a template to a template")
        if self.cluster.running(guest):
            raise die("you can't convert a VM to template if VM is running")

        async def work(task: Task) -> None:
            for key, drive in guest.drives.items():
                if not drive.is_cdrom:
                    base = drive.volume.replace(f"vm-{guest.vmid}-", f"base-{guest.vmid}-")
                    self.cluster.volumes[base] = self.cluster.volumes.pop(drive.volume)
                    guest.config[key] = str(Drive(base, drive.options))
            guest.config["template"] = 1

        return self.cluster.fork("qmtemplate", guest.vmid, guest.node, who, work)

    # --- change

    def check_update(self, who: str, guest: Guest, values: Mapping[str, Any]) -> dict[str, Any]:
        """What a change is refused for before anything happens; the options to set, without the orders around them."""
        cluster = self.cluster
        orders = ("digest", "delete", "revert", "force", "skiplock", "background_delay", "import-working-storage")
        options = {key: value for key, value in values.items() if key not in orders}
        if values.get("skiplock") and who != ROOT:
            raise wrong("skiplock", "Only root may use this option.")
        if "sshkeys" in options:
            check_keys(unquote(str(options["sshkeys"])))
        deleted = split_list(str(values.get("delete", "")))
        if not options and not deleted and not values.get("revert"):
            raise die("no options specified")
        for name in deleted:
            if name in options:
                raise wrong("delete", f"you can't use '-{name}' and -delete {name}' at the same time")
            self.check_option(who, guest.vmid, name)
        for name in options:
            self.check_option(who, guest.vmid, name)
        for name, value in options.items():
            drive = Drive.parse(str(value)) if DRIVE.fullmatch(name) else None
            if drive and re.fullmatch(r"[^:]+:\d+(\.\d+)?", drive.volume):
                self.access.require(who, f"/storage/{drive.storage}", "Datastore.AllocateSpace")
                cluster.storage(drive.storage, guest.node)
        self.check_bridges(who, [Card.parse(str(value)) for key, value in options.items() if key.startswith("net")])
        if values.get("digest") and values["digest"] != guest.digest():
            raise die("checksum mismatch (file change by other user?)")
        if not values.get("skiplock"):
            guest.check_lock()
        balloon = options.get("balloon", guest.pending.get("balloon", guest.config.get("balloon", 0)))
        memory = options.get("memory", guest.pending.get("memory", guest.memory))
        if ("balloon" in options or "memory" in options) and int(balloon) > int(str(memory).removeprefix("current=")):
            raise die("balloon value too large (must be smaller than assigned memory)")
        cluster.check_writable(guest)
        return options

    def update(self, who: str, guest: Guest, values: Mapping[str, Any]) -> None:
        """PUT and POST config: make the change, as far as a running guest allows now; the rest is pending."""
        options = self.check_update(who, guest, values)
        for name in split_list(str(values.get("revert", ""))):
            guest.pending.pop(name, None)
            guest.pending_delete.discard(name)
        for name in split_list(str(values.get("delete", ""))):
            self._delete_option(who, guest, name)
        for name in sorted(options):
            if DRIVE.fullmatch(name):
                for text in (guest.config.get(name), options[name]):
                    if text:
                        self._check_drive(who, guest.vmid, Drive.parse(str(text)))
            elif re.fullmatch(r"serial\d+", name):
                if options[name] != "socket" and who != ROOT:
                    raise die(f"only root can modify '{name}' config for real devices")
                self.access.require(who, f"/vms/{guest.vmid}", "VM.Config.HWType")
            elif name == "tags":
                self.check_tags(who, guest.vmid, str(guest.config.get("tags", "")), str(options[name]))
            elif name.startswith("net") and name in guest.config:
                self.check_bridges(who, [Card.parse(str(guest.config[name]))])
            guest.pending[name] = self._stored(guest, name, options)
            guest.pending_delete.discard(name)
        self._apply(guest, everything=not self.cluster.running(guest))
        self.cluster.changed()

    def _delete_option(self, who: str, guest: Guest, name: str) -> None:
        guest.pending.pop(name, None)
        if name not in guest.config:
            return
        if DRIVE.fullmatch(name):
            if guest.config.get("protection"):
                raise die(f"can't remove drive '{name}' - protection mode enabled")
            self._check_drive(who, guest.vmid, Drive.parse(str(guest.config[name])))
        elif re.fullmatch(r"serial\d+", name):
            self.access.require(who, f"/vms/{guest.vmid}", "VM.Config.HWType")
        elif name == "tags":
            self.check_tags(who, guest.vmid, str(guest.config["tags"]), "")
        guest.pending_delete.add(name)

    def _apply(self, guest: Guest, *, everything: bool) -> None:
        """Move pending changes into the configuration: all of a stopped guest, what QEMU takes of a running one."""
        for name, value in list(guest.pending.items()):
            if guest.config.get(name) == value:
                del guest.pending[name]
            elif everything or _hot(name):
                guest.config[name] = value
                del guest.pending[name]
        for name in sorted(guest.pending_delete):
            if everything or _hot(name):
                self._drop(guest, name)
                guest.pending_delete.discard(name)

    def _drop(self, guest: Guest, name: str) -> None:
        value = guest.config.pop(name, None)
        if value is None or not DRIVE.fullmatch(name):
            return
        drive = Drive.parse(str(value))
        if drive.is_cloudinit:
            self.cluster.volumes.pop(drive.volume, None)
        elif not drive.is_cdrom:
            number = next(n for n in range(256) if f"unused{n}" not in guest.config)
            guest.config[f"unused{number}"] = drive.volume

    def _stored(self, guest: Guest, name: str, options: Mapping[str, Any]) -> Any:
        """The value of one of the options that are set together, as it is written into the configuration file."""
        value = options[name]
        if isinstance(value, bool):
            return int(value)
        if name == "tags":
            return unique_tags(str(value))
        if name == "description":
            return str(value).rstrip()
        if name == "cipassword":
            return str(value) if str(value).startswith("$") else f"$5${secrets.token_hex(4)}${secrets.token_hex(16)}"
        if name == "boot":
            return _stored_boot(str(value), {*guest.config, *guest.pending, *options} - guest.pending_delete)
        if re.fullmatch(r"net\d+", name):
            card = Card.parse(str(value))
            return str(card if card.mac else dataclasses.replace(card, mac=random_mac()))
        if DRIVE.fullmatch(name):
            return str(self._allocated(guest, Drive.parse(str(value))))
        return value

    def _allocated(self, guest: Guest, drive: Drive) -> Drive:
        """A drive as it is after its volume was made, where `STORAGE:SIZE` or `STORAGE:cloudinit` asks for one."""
        cluster = self.cluster
        if drive.volume.endswith(":cloudinit"):
            if any(one.is_cloudinit for one in guest.drives.values()):
                return next(one for one in guest.drives.values() if one.is_cloudinit)
            volume = cluster.storage(drive.storage, guest.node).volume(guest.vmid, f"vm-{guest.vmid}-cloudinit")
            cluster.volumes[volume] = Volume(CLOUDINIT_SIZE, guest.vmid)
            return Drive(volume, {"media": "cdrom", "size": print_size(CLOUDINIT_SIZE)})
        found = re.fullmatch(r"([^:]+):(\d+(?:\.\d+)?)", drive.volume)
        if not found:
            if drive.storage and drive.volume not in cluster.volumes and not drive.is_cdrom:
                raise die(f"volume '{drive.volume}' does not exist")
            if drive.volume in cluster.volumes and "size" not in drive.options:
                drive.options["size"] = print_size(cluster.volumes[drive.volume].size)
            return drive
        storage = cluster.storage(found[1], guest.node)
        options = {key: value for key, value in drive.options.items() if key not in ("import-from", "format")}
        source = drive.options.get("import-from", "")
        size = int(float(found[2]) * (1 << 30))
        if source:
            if source not in cluster.volumes and source not in cluster.remotes:
                raise die(f"volume '{source}' does not exist")
            taken = cluster.volumes.get(source) or cluster.remotes[source].volume()
            size, guest.image = taken.size, taken.image or guest.image
        volume = storage.volume(guest.vmid, cluster.free_disk_name(guest.vmid, storage))
        cluster.volumes[volume] = Volume(size, guest.vmid)
        return Drive(volume, {**options, "size": print_size(size)})

    def resize(self, who: str, guest: Guest, values: Mapping[str, Any]) -> str:
        """PUT resize: the task's UPID. Nearly all of the checks are the task's."""
        if values.get("skiplock") and who != ROOT:
            raise wrong("skiplock", "Only root may use this option.")
        disk, wanted = str(values["disk"]), str(values["size"])

        async def work(task: Task) -> None:
            async with self.cluster.locked(guest.vmid):
                if values.get("digest") and values["digest"] != guest.digest():
                    raise die("checksum mismatch (file change by other user?)")
                guest.check_lock()
                if disk not in guest.config:
                    raise die(f"disk '{disk}' does not exist")
                drive = Drive.parse(str(guest.config[disk]))
                if drive.is_cdrom:
                    raise die("you can't resize a cdrom")
                self.access.require(who, f"/storage/{drive.storage}", "Datastore.AllocateSpace")
                volume = self.cluster.volumes[drive.volume]
                size = parse_size(wanted.removeprefix("+")) + (volume.size if wanted.startswith("+") else 0)
                if size < volume.size:
                    raise die("shrinking disks is not supported")
                self.cluster.check_writable(guest)
                volume.size = size
                drive.options["size"] = print_size(size)
                guest.config[disk] = str(drive)

        return self.cluster.fork("resize", guest.vmid, guest.node, who, work)

    # --- switch on and off

    def start(self, who: str, guest: Guest) -> str:
        """POST start: the task's UPID."""
        cluster = self.cluster
        cluster.check_quorum()
        if guest.vmid in cluster.ha:

            async def request(task: Task) -> None:
                task.log.append(f"Requesting HA start for VM {guest.vmid}")
                cluster.ha[guest.vmid]["state"] = "started"
                cluster.fork("qmstart", guest.vmid, guest.node, ROOT, self._starter(guest), cluster.settings.ha_seconds)

            return cluster.fork("hastart", guest.vmid, guest.node, who, request)
        return cluster.fork("qmstart", guest.vmid, guest.node, who, self._starter(guest))

    def _starter(self, guest: Guest) -> Any:
        async def work(task: Task) -> None:
            async with self.cluster.locked(guest.vmid):
                await self._start(guest, task)

        return work

    async def _start(self, guest: Guest, task: Task) -> None:
        cluster = self.cluster
        if guest.template:
            raise die("you can't start a vm if it's a template")
        guest.check_lock()
        if cluster.running(guest):
            raise die(f"VM {guest.vmid} already running")
        self._apply(guest, everything=True)
        node = cluster.nodes[guest.node]
        if guest.cpus > node.cpus:
            raise die(f"MAX {node.cpus} vcpus allowed per VM on this node")
        for card in guest.cards.values():
            bridge = card.options.get("bridge")
            if bridge and bridge not in node.bridges:
                task.log.append(f"bridge '{bridge}' does not exist")
                raise die("start failed: QEMU exited with code 1")
        used = sum(one.memory for one in cluster.guests.values() if one.node == guest.node and one.started is not None)
        if used + guest.memory > node.memory:
            task.log.append("kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory")
            raise die("start failed: QEMU exited with code 1")
        self.write_drive(guest)
        try:
            await asyncio.to_thread(cluster.machines.start, self._boot(guest))
        except MachineError as error:
            task.log.append(str(error))
            raise die("start failed: QEMU exited with code 1") from None
        guest.started = time.time()

    def write_drive(self, guest: Guest) -> None:
        """Write the cloud-init drive, where there is one."""
        has_one = any(drive.is_cloudinit for drive in guest.drives.values())
        guest.drive = cloudinit.files(guest.vmid, guest.config) if has_one else None
        guest.written = {name: str(value) for name, value in guest.config.items() if cloudinit.is_option(name)}

    def _boot(self, guest: Guest) -> Boot:
        cards = tuple(
            (card.mac, card.options.get("bridge", ""), card.options.get("tag", "")) for card in guest.cards.values()
        )
        return Boot(
            node=guest.node,
            vmid=guest.vmid,
            disk=guest.disk,
            image=guest.image,
            cards=cards,
            cores=guest.cpus,
            memory=guest.memory,
            cloudinit=guest.drive,
            agent=guest.agent,
        )

    def stop(self, who: str, guest: Guest) -> str:
        """POST stop: the task's UPID."""
        return self._down("qmstop", "hastop", who, guest, self._stop)

    async def _stop(self, guest: Guest, task: Task) -> None:
        if self.cluster.running(guest):
            guest.check_lock()
            await asyncio.to_thread(self.cluster.machines.stop, guest.vmid)
            guest.started = None
            self._apply(guest, everything=True)

    def shutdown(self, who: str, guest: Guest, values: Mapping[str, Any]) -> str:
        """POST shutdown: the task's UPID."""

        async def work(guest: Guest, task: Task) -> None:
            await self._shutdown(guest, task, float(values.get("timeout", 60)), bool(values.get("forceStop")))

        return self._down("qmshutdown", "hastop", who, guest, work)

    async def _shutdown(self, guest: Guest, task: Task, timeout: float, force: bool) -> None:
        cluster = self.cluster
        if not cluster.running(guest):
            return
        guest.check_lock()
        await asyncio.to_thread(cluster.machines.shutdown, guest.vmid)
        end = time.monotonic() + timeout
        while await asyncio.to_thread(cluster.machines.running, guest.vmid):
            if time.monotonic() >= end:
                if not force:
                    raise die("VM quit/powerdown failed - got timeout")
                task.log.append("VM still running - terminating now with SIGTERM")
                await asyncio.to_thread(cluster.machines.stop, guest.vmid)
                break
            await asyncio.sleep(0.1)
        guest.started = None
        self._apply(guest, everything=True)

    def _down(self, kind: str, by_ha: str, who: str, guest: Guest, down: Any) -> str:
        cluster = self.cluster

        async def work(task: Task) -> None:
            async with cluster.locked(guest.vmid):
                await down(guest, task)

        if guest.vmid not in cluster.ha:
            return cluster.fork(kind, guest.vmid, guest.node, who, work)

        async def request(task: Task) -> None:
            task.log.append(f"Requesting HA stop for VM {guest.vmid}")
            cluster.ha[guest.vmid]["state"] = "stopped"
            cluster.fork(kind, guest.vmid, guest.node, ROOT, work, cluster.settings.ha_seconds)

        return cluster.fork(by_ha, guest.vmid, guest.node, who, request)

    def reboot(self, who: str, guest: Guest, values: Mapping[str, Any]) -> str:
        """POST reboot, the task's UPID: down and up again, which applies what is pending."""
        if not self.cluster.running(guest):
            raise die(f"VM {guest.vmid} not running")

        async def work(task: Task) -> None:
            async with self.cluster.locked(guest.vmid):
                await self._shutdown(guest, task, float(values.get("timeout", 60)), force=False)
                await self._start(guest, task)

        return self.cluster.fork("qmreboot", guest.vmid, guest.node, who, work)

    def reset(self, who: str, guest: Guest) -> str:
        """POST reset, the task's UPID: as the button does; nothing pending is applied."""
        guest.check_lock()
        if not self.cluster.running(guest):
            raise die(f"VM {guest.vmid} not running")

        async def work(task: Task) -> None:
            await asyncio.to_thread(self.cluster.machines.stop, guest.vmid)
            await asyncio.to_thread(self.cluster.machines.start, self._boot(guest))

        return self.cluster.fork("qmreset", guest.vmid, guest.node, who, work)

    # --- remove

    def destroy(self, who: str, guest: Guest, values: Mapping[str, Any]) -> str:
        """DELETE: the task's UPID."""
        cluster = self.cluster
        if values.get("skiplock") and who != ROOT:
            raise wrong("skiplock", "Only root may use this option.")

        def early() -> None:
            if guest.config.get("protection"):
                raise die(f"can't remove VM {guest.vmid} - protection mode enabled")
            if guest.vmid in cluster.ha and not values.get("purge"):
                raise die(f"unable to remove VM {guest.vmid} - used in HA resources and purge parameter not set.")
            if cluster.running(guest):
                raise die(f"VM {guest.vmid} is running - destroy failed")

        early()

        async def work(task: Task) -> None:
            async with cluster.locked(guest.vmid):
                early()
                guest.check_lock()
                cluster.check_writable(guest)
                own = {volid for volid, volume in cluster.volumes.items() if volume.vmid == guest.vmid}
                for volume in cluster.volumes.values():
                    if volume.base in own and volume.vmid != guest.vmid:
                        raise die(f"base volume '{volume.base}' is still in use by linked cloned")
                await asyncio.to_thread(cluster.machines.destroy, guest.vmid)
                cluster.remove(guest.vmid)

        return cluster.fork("qmdestroy", guest.vmid, guest.node, who, work)


def _stored_boot(value: str, there: set[str]) -> str:
    """A boot order; all in it has to be there."""
    if not value.startswith("order="):
        return value
    devices = split_list(value.removeprefix("order="))
    for device in devices:
        if device not in there:
            raise die(f"invalid bootorder: device '{device}' does not exist'")
    return f"order={';'.join(devices)}"


def _hot(name: str) -> bool:
    """Whether a running guest with the default features takes this change: network, disk and USB can be plugged."""
    return (
        name in AT_ONCE
        or name in CLOUDINIT_OPTIONS
        or bool(re.fullmatch(r"ipconfig\d+|net\d+|(ide|sata|scsi|virtio)\d+", name))
        or name in ("cpuunits", "cpulimit")
    )


def random_mac() -> str:
    """A MAC address with Proxmox VE's prefix."""
    return "BC:24:11:" + ":".join(f"{byte:02X}" for byte in secrets.token_bytes(3))


def check_keys(text: str) -> None:
    """Raises Refused where a line is no public SSH key."""
    for line in text.splitlines():
        if line.strip() and not re.match(
            r"(?:.* )?(ssh-(rsa|dss|ed25519)|ecdsa-sha2-\S+|sk-\S+) [A-Za-z0-9+/=]+", line
        ):
            raise die("SSH public key validation error")
