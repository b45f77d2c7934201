// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bonds} from "../src/Bonds.sol";
import {DaoFixture} from "./DaoFixture.sol";

/// @notice What each act costs as a transaction of its own (intrinsic gas and calldata included), written to
/// snapshots/gas.json.
contract GasTest is DaoFixture {
    uint256 private constant DEPTH = 20; // a million accounts
    uint256 private constant BATCH = 100; // contributors whose bonds are taken together
    uint256 private constant SETTLED = 20; // and settled together

    function _note(string memory act) private returns (uint256) {
        return vm.snapshotGasLastCall("gas", act);
    }

    /// @dev A path of 20 siblings and the root it leads to: as costly as a tree of a million leaves.
    function _path(bytes32 leaf) private pure returns (bytes32 root, bytes32[] memory proof) {
        proof = new bytes32[](DEPTH);
        root = leaf;
        for (uint256 i = 0; i < DEPTH; ++i) {
            proof[i] = keccak256(abi.encode("sibling", leaf, i));
            root = _pair(root, proof[i]);
        }
    }

    /// @dev A whole tree of `leaves`, which are a power of two of them, continued by random siblings to depth 20.
    function _tree(bytes32[] memory leaves) private pure returns (bytes32 root, bytes32[][] memory proofs) {
        proofs = new bytes32[][](leaves.length);
        for (uint256 i = 0; i < leaves.length; ++i) {
            proofs[i] = new bytes32[](DEPTH);
        }
        bytes32[] memory level = leaves;
        uint256 height;
        for (; level.length > 1; ++height) {
            for (uint256 i = 0; i < leaves.length; ++i) {
                proofs[i][height] = level[(i >> height) ^ 1];
            }
            bytes32[] memory above = new bytes32[](level.length / 2);
            for (uint256 i = 0; i < above.length; ++i) {
                above[i] = _pair(level[2 * i], level[2 * i + 1]);
            }
            level = above;
        }
        root = level[0];
        for (; height < DEPTH; ++height) {
            bytes32 sibling = keccak256(abi.encode("sibling", height));
            for (uint256 i = 0; i < leaves.length; ++i) {
                proofs[i][height] = sibling;
            }
            root = _pair(root, sibling);
        }
    }

    function _claimAtDepth(uint64 turn, address account, uint256 cumulative, uint256 paid, string memory act)
        private
        returns (uint256)
    {
        _fund(turn, paid);
        (bytes32 root, bytes32[] memory proof) = _path(rewards.payoutLeaf(turn, account, cumulative));
        _postRoots(turn, root, 0, paid);
        _finish(turn);
        rewards.claim(turn, account, cumulative, proof);
        uint256 gas = _note(act);
        _aboveFloor(gas, abi.encodeCall(rewards.claim, (turn, account, cumulative, proof)));
        return gas;
    }

    /// @dev EIP-7623: a transaction costs at least 21,000 and 10 for each token of calldata, so what is measured counts
    /// on every chain since Prague only if it is above that.
    function _aboveFloor(uint256 gas, bytes memory data) private pure {
        uint256 tokens;
        for (uint256 i = 0; i < data.length; ++i) {
            tokens += data[i] == 0 ? 1 : 4;
        }
        vm.assertLe(21_000 + 10 * tokens, gas, "calldata floor");
    }

    function test_gas_of_the_log() public {
        vm.prank(operator);
        registry.openTurn(1, "commitment");
        _note("openTurn");
        vm.prank(operator);
        registry.registerBatch(1, "first", 1, 75);
        _note("registerBatch, the first of a DAO");
        vm.prank(operator);
        registry.registerBatch(1, "root", 1000, 75_000);
        uint256 gas = _note("registerBatch, 1000 contributions");
        uint256 each = (gas + 999) / 1000;
        vm.assertLe(each, 1_000, "bar");
        vm.snapshotValue("gas", "register_per_contribution_1000", each);
        vm.snapshotValue("gas", "registerBatch, per contribution of 1000", each);
        vm.prank(operator);
        registry.closeTurn(1);
        _note("closeTurn");
        vm.prank(operator);
        registry.recordTurn(1, "data", "proofs", "model", 0, "reveal");
        _note("recordTurn");
        vm.prank(ada);
        registry.revoke("contribution");
        _note("revoke");
    }

    /// @dev The account is new to the token and to the contract in its first claim, known to both in the later one.
    function test_gas_of_claims() public {
        address newcomer = address(0x7E3);
        uint256 first = _claimAtDepth(1, newcomer, 10e6, 10e6, "claim_first_d20");
        vm.snapshotValue("gas", "claim, first, depth 20", first);
        vm.assertLe(first, 97_000, "bar");
        uint256 later = _claimAtDepth(2, newcomer, 25e6, 15e6, "claim_later_d20");
        vm.snapshotValue("gas", "claim, later, depth 20", later);
        vm.assertLe(later, 62_500, "bar");
    }

    function test_gas_of_a_root() public {
        _fund(1, 100e6);
        _note("fundPool");
        _postRoots(1, "payout", "slash", 100e6);
        _note("postRoot");
        vm.prank(stranger);
        rewards.dispute(1, "recomputed");
        _note("dispute");
        vm.prank(address(timelock));
        rewards.resolve(1, false);
        _note("resolve");
        _passWindow();
        rewards.finalize(1);
        _note("finalize");
        _fund(2, 100e6);
        _postRoots(2, "payout", "slash", 100e6);
        _note("postRoot, later turn");
    }

    function test_gas_of_single_bonds() public {
        _postBond(ADA_KEY, "first", 5e6);
        _note("postBond");
        (bytes32 root, bytes32[] memory proof) = _path(bonds.slashLeaf(1, "first", ada, 1e6));
        _postRoots(1, 0, root, 0);
        _finish(1);
        bonds.settleBond(1, "first", ada, 1e6, proof);
        _note("settleBond, depth 20");
    }

    struct Turn {
        uint256 registered;
        uint256 bonded;
        uint256 settled;
        uint256 claimed;
    }

    function _key(uint256 i) private pure returns (uint256) {
        return 0xC0FFEE + i;
    }

    /// @dev What a turn costs per contributor, 100 of them with one contribution of any number of records each: the
    /// batch of registrations, a hundredth; the bonds taken in one transaction, a hundredth; settled, `slash` of each
    /// lost, 20 in one transaction with proofs of depth 20, a twentieth; and one claim of her own at depth 20.
    function _turn(uint64 turn, uint256 bond, uint256 slash) private returns (Turn memory gas) {
        vm.prank(operator);
        registry.openTurn(turn, "commitment");
        vm.prank(operator);
        registry.registerBatch(turn, keccak256(abi.encode(turn)), uint32(BATCH), uint32(75 * BATCH));
        gas.registered = (_note("registerBatch, 100 contributions") + BATCH - 1) / BATCH;
        gas.bonded = _bond(turn, bond);
        vm.prank(operator);
        registry.closeTurn(turn);
        vm.prank(operator);
        registry.recordTurn(turn, "data", "proofs", bytes32(uint256(turn)), bytes32(uint256(turn - 1)), "reveal");

        (uint256 cumulative, address account) = (turn * 10e6, vm.addr(_key(0)));
        (bytes32 payouts, bytes32[] memory proof) = _path(rewards.payoutLeaf(turn, account, cumulative));
        (bytes32 slashes, bytes32[][] memory proofs) = _tree(_slashLeaves(turn, slash));
        _fund(turn, 10e6);
        _postRoots(turn, payouts, slashes, 10e6);
        _finish(turn);
        gas.settled = _settle(turn, slash, proofs);
        rewards.claim(turn, account, cumulative, proof);
        gas.claimed = _note("claim in that turn");
    }

    function _id(uint64 turn, uint256 i) private pure returns (bytes32) {
        return keccak256(abi.encode(turn, i));
    }

    function _slashLeaves(uint64 turn, uint256 slash) private view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](128);
        for (uint256 i = 0; i < BATCH; ++i) {
            leaves[i] = bonds.slashLeaf(turn, _id(turn, i), vm.addr(_key(i)), slash);
        }
    }

    function _bond(uint64 turn, uint256 bond) private returns (uint256) {
        Bonds.BondAuthorization[] memory rows = new Bonds.BondAuthorization[](BATCH);
        for (uint256 i = 0; i < BATCH; ++i) {
            bytes memory signature = _bondSignature(_key(i), _id(turn, i), bond);
            rows[i] = Bonds.BondAuthorization(_id(turn, i), vm.addr(_key(i)), bond, 0, type(uint256).max, signature);
        }
        bonds.postBonds(rows);
        return (_note("postBonds, 100") + BATCH - 1) / BATCH;
    }

    function _settle(uint64 turn, uint256 slash, bytes32[][] memory proofs) private returns (uint256) {
        Bonds.BondSettlement[] memory rows = new Bonds.BondSettlement[](SETTLED);
        for (uint256 i = 0; i < SETTLED; ++i) {
            rows[i] = Bonds.BondSettlement(_id(turn, i), vm.addr(_key(i)), slash, proofs[i]);
        }
        bonds.settleBonds(turn, rows);
        uint256 gas = _note("settleBonds, 20, depth 20");
        _aboveFloor(gas, abi.encodeCall(bonds.settleBonds, (turn, rows)));
        return (gas + SETTLED - 1) / SETTLED;
    }

    function _sum(Turn memory gas) private pure returns (uint256) {
        return gas.registered + gas.bonded + gas.settled + gas.claimed;
    }

    /// @notice From a contribution to its payout, per contributor and turn, whatever her number of records. Counted: all
    /// that `_turn` adds up, for a contributor whom the contracts have never seen, who has exactly the bond, so that her
    /// balance goes to zero and comes back, and who loses a part of it. Not counted: the turn's own six acts (open,
    /// close, record, fund, post, finalize; the operator's bond), rows of their own here, the same for any number of
    /// contributors.
    function test_gas_from_contribution_to_payout() public {
        for (uint256 i = 0; i < BATCH; ++i) {
            token.drip(vm.addr(_key(i)), 5e6);
        }
        Turn memory first = _turn(1, 5e6, 1e6);
        vm.snapshotValue("gas", "postBonds, per bond of 100", first.bonded);
        vm.snapshotValue("gas", "settleBonds, per bond of 20", first.settled);
        vm.assertLe(_sum(first), 200_000, "bar");
        vm.snapshotValue("gas", "contribution_to_payout", _sum(first));
        for (uint256 i = 0; i < BATCH; ++i) {
            token.drip(vm.addr(_key(i)), 4e6);
        }
        Turn memory later = _turn(2, 4e6, 0);
        vm.assertLe(_sum(later), _sum(first), "the first turn is the dearest");
        vm.snapshotValue("gas", "contribution to payout, later turn", _sum(later));
    }

    function test_gas_of_the_token() public {
        bytes32 transfer = keccak256(abi.encode(TRANSFER, ada, bob, 3e6, 0, START + 1, bytes32("nonce")));
        bytes memory signature = _signature(ADA_KEY, transfer);
        token.transferWithAuthorization(ada, bob, 3e6, 0, START + 1, "nonce", signature);
        _note("transferWithAuthorization, bytes");
        transfer = keccak256(abi.encode(TRANSFER, ada, bob, 3e6, 0, START + 1, bytes32("other")));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ADA_KEY, _digest(transfer));
        token.transferWithAuthorization(ada, bob, 3e6, 0, START + 1, "other", v, r, s);
        _note("transferWithAuthorization, v r s");
        vm.prank(ada);
        token.transfer(bob, 3e6);
        _note("transfer");
    }
}
