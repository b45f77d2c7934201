// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DaoFixture} from "./DaoFixture.sol";
import {Rewards} from "../src/Rewards.sol";

/// @notice What each act costs as a transaction of its own (intrinsic gas and calldata included), written to
/// snapshots/gas.json.
contract GasTest is DaoFixture {
    uint256 private constant DEPTH = 20; // a million accounts

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

    function _claimAtDepth(uint64 turn, uint256 cumulative, uint256 paid, string memory act) private {
        _fund(turn, paid);
        (bytes32 root, bytes32[] memory proof) = _path(rewards.payoutLeaf(turn, bob, cumulative));
        _postRoots(turn, root, 0, paid);
        _passWindow();
        rewards.claim(turn, bob, cumulative, proof);
        _note(act);
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
        vm.snapshotValue("gas", "registerBatch, per contribution of 1000", gas / 1000);
        vm.prank(operator);
        registry.closeTurn(1);
        _note("closeTurn");
        vm.prank(operator);
        registry.recordTurn(1, "data", "proofs", "model", "parent", "reveal");
        _note("recordTurn");
    }

    function test_gas_of_claims() public {
        _claimAtDepth(1, 10e6, 10e6, "claim, first, depth 20");
        _claimAtDepth(2, 25e6, 15e6, "claim, later, depth 20");
    }

    function test_gas_of_a_root() public {
        vm.prank(operator);
        treasury.fundPool(1, 100e6);
        _note("fundPool");
        vm.prank(operator);
        rewards.postRoot(1, "payout", "slash", 100e6, 100e6, "public");
        _note("postRoot");
        vm.prank(stranger);
        rewards.dispute(1, "recomputed");
        _note("dispute");
    }

    function test_gas_of_bonds() public {
        bytes memory signature = _bondSignature(ADA_KEY, "first", 5e6);
        rewards.postBond("first", ada, 5e6, 0, type(uint256).max, signature);
        _note("postBond");
        Rewards.BondAuthorization[] memory bonds = new Rewards.BondAuthorization[](100);
        for (uint256 i = 0; i < bonds.length; ++i) {
            bytes32 id = keccak256(abi.encode(i));
            bonds[i] = Rewards.BondAuthorization(id, ada, 5e6, 0, type(uint256).max, _bondSignature(ADA_KEY, id, 5e6));
        }
        rewards.postBonds(bonds);
        uint256 gas = _note("postBonds, 100");
        vm.snapshotValue("gas", "postBonds, per bond of 100", gas / 100);
        (bytes32 root, bytes32[] memory proof) = _path(rewards.slashLeaf(1, "first", 1e6));
        _postRoots(1, 0, root, 0);
        _passWindow();
        rewards.settleBond(1, "first", ada, 1e6, proof);
        _note("settleBond, depth 20");
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
