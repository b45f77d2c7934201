// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {PayToken} from "../src/PayToken.sol";
import {Registry} from "../src/Registry.sol";
import {Rewards} from "../src/Rewards.sol";
import {Treasury} from "../src/Treasury.sol";
import {IPayToken} from "../src/IPayToken.sol";
import {Cheats} from "./Cheats.sol";

/// @notice One DAO on the embedded chain, with money at its operator, two owners and a stranger.
abstract contract DaoFixture is Cheats {
    bytes32 internal constant TRANSFER = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 internal constant RECEIVE = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    uint256 internal constant ADA_KEY = 0xADA;
    uint256 internal constant BOB_KEY = 0xB0B;
    uint64 internal constant WINDOW = 1 days;
    uint256 internal constant ROOT_BOND = 10e6;
    uint256 internal constant START = 1_700_000_000;
    bytes32 internal constant POLICY = keccak256("policy");

    address internal immutable operator = address(0x0BE12A);
    address internal immutable stranger = address(0x57A);
    address internal immutable ada = vm.addr(ADA_KEY);
    address internal immutable bob = vm.addr(BOB_KEY);

    PayToken internal token;
    Registry internal registry;
    Treasury internal treasury;
    Rewards internal rewards;

    function setUp() public virtual {
        vm.chainId(0x726f6461);
        vm.warp(START);
        token = new PayToken(address(this));
        registry = new Registry(operator, POLICY);
        treasury = new Treasury(operator, IPayToken(address(token)));
        rewards = new Rewards(operator, IPayToken(address(token)), address(treasury), WINDOW, ROOT_BOND);
        vm.prank(operator);
        treasury.setRewards(rewards);
        address[4] memory rich = [operator, stranger, ada, bob];
        for (uint256 i = 0; i < rich.length; ++i) {
            token.drip(rich[i], 1_000_000e6);
            vm.prank(rich[i]);
            token.approve(address(rewards), type(uint256).max);
        }
        token.drip(address(treasury), 1_000_000e6);
    }

    function _digest(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
    }

    function _signature(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _digest(structHash));
        return abi.encodePacked(r, s, v);
    }

    function _bondSignature(uint256 key, bytes32 id, uint256 amount) internal view returns (bytes memory) {
        return _signature(
            key, keccak256(abi.encode(RECEIVE, vm.addr(key), address(rewards), amount, 0, type(uint256).max, id))
        );
    }

    function _postBond(uint256 key, bytes32 id, uint256 amount) internal {
        bytes memory signature = _bondSignature(key, id, amount);
        rewards.postBond(id, vm.addr(key), amount, 0, type(uint256).max, signature);
    }

    function _fund(uint64 turn, uint256 amount) internal {
        vm.prank(operator);
        treasury.fundPool(turn, amount);
    }

    /// @dev A turn whose tree pays ada and bob these cumulative amounts, and slashes nobody.
    function _post(uint64 turn, uint256 adaTotal, uint256 bobTotal, uint256 paid) internal {
        bytes32 root = _pair(rewards.payoutLeaf(turn, ada, adaTotal), rewards.payoutLeaf(turn, bob, bobTotal));
        _postRoots(turn, root, 0, paid);
    }

    function _postRoots(uint64 turn, bytes32 payoutRoot, bytes32 slashRoot, uint256 paid) internal {
        vm.prank(operator);
        rewards.postRoot(turn, payoutRoot, slashRoot, paid, paid, keccak256("public"));
    }

    function _passWindow() internal {
        vm.warp(block.timestamp + WINDOW);
    }

    function _pair(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return Hashes.commutativeKeccak256(left, right);
    }

    function _one(bytes32 sibling) internal pure returns (bytes32[] memory proof) {
        proof = new bytes32[](1);
        proof[0] = sibling;
    }
}
